import ConfigurationFiles
import Formats
import ModelFiles
import Models

/// A folder's `config.json`: read, written for an export, and read again to the same configuration.
func fuzzConfig(_ bytes: UnsafeRawBufferPointer) throws {
  let node = try ConfigurationNode.parse(json: bytes, source: "config.json")
  let configuration = try ModelConfiguration(huggingFace: ConfigurationSection(node), author: .folder)
  let written = try configuration.huggingFaceJSON(source: node)
  let again = try ConfigurationNode.parse(json: written, source: "written")
  let read = try ModelConfiguration(huggingFace: ConfigurationSection(again), author: .folder)
  precondition(read == configuration, "an exported config.json says something else than its source")
}

/// A safetensors file.
func fuzzSafetensors(_ bytes: UnsafeRawBufferPointer) throws {
  _ = try SafetensorsHeader(bytes, path: "model.safetensors")
}
