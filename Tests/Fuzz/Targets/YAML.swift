import ConfigurationFiles
import RunConfiguration

/// A run's configuration.
func fuzzYAML(_ bytes: UnsafeRawBufferPointer) throws {
  let node = try ConfigurationNode.parse(String(decoding: bytes, as: UTF8.self), source: "run.yaml")
  _ = try RunConfiguration(node)
}
