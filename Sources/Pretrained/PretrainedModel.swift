import Checkpoints
import Configuration
import Diagnostics
import Formats
import Foundation
import Kernels
import Models

/// A model on disk: a Hugging Face folder, or a checkpoint of a run.
///
/// Both hold a `config.json` (a checkpoint within its metadata) and the same tensor names.
public struct PretrainedModel {
  public let configuration: ModelConfiguration
  private let weights: Weights

  private enum Weights {
    case safetensors(SafetensorsCollection)
    case checkpoint(CheckpointReader)
  }

  /// The key of a checkpoint's metadata under which its model's `config.json` stands.
  public static let metadataKey = "model"

  /// - Parameter path: a Hugging Face folder, a run directory, its `checkpoints` folder or one checkpoint.
  /// - Throws: `ForgeError.badInput` when there is no model, or one that this program cannot compute.
  public init(path: String) throws {
    if Self.isHuggingFaceFolder(path) {
      configuration = try Self.configuration(folder: path)
      weights = .safetensors(try SafetensorsCollection(path: path))
    } else {
      let reader = try Self.checkpoint(path)
      configuration = try Self.configuration(of: reader)
      weights = .checkpoint(reader)
    }
    try checkNames()
  }

  /// Only the configuration of the model at `folder`.
  public static func configuration(
    folder: String, overrides: ConfigurationSection? = nil
  ) throws -> ModelConfiguration {
    guard isHuggingFaceFolder(folder) else { return try configuration(of: checkpoint(folder)) }
    let node = try ConfigurationNode.load(path: folder + "/config.json")
    return try ModelConfiguration(huggingFace: ConfigurationSection(node), overrides: overrides)
  }

  private static func configuration(of reader: CheckpointReader) throws -> ModelConfiguration {
    guard let text = reader.metadata[metadataKey]?.string else {
      throw ForgeError.badInput("checkpoint '\(reader.path)' does not say what model it holds")
    }
    let node = try ConfigurationNode.parse(text, source: reader.path + "/manifest.json")
    return try ModelConfiguration(huggingFace: ConfigurationSection(node))
  }

  private static func checkpoint(_ path: String) throws -> CheckpointReader {
    do { return try CheckpointReader(path: path) } catch let error as ForgeError {
      throw ForgeError(error.kind, "there is no model in '\(path)': it has no config.json, and \(error)")
    }
  }

  private static func isHuggingFaceFolder(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
  }

  /// A tensor that the configuration does not mention, such as a bias, would silently change the numbers if left out.
  private func checkNames() throws {
    guard case .safetensors(let collection) = weights else { return }
    var known = Set(ParameterLayout(configuration).tensors.map(\.name))
    if configuration.tiedEmbeddings { known.insert("lm_head.weight") }
    for name in collection.tensors.keys.sorted() where !known.contains(name) && !name.hasSuffix("rotary_emb.inv_freq") {
      throw ForgeError.badInput("'\(collection.path)' has a tensor '\(name)' that its config.json has no place for")
    }
  }

  /// Reads parameters into their places, as fp32.
  ///
  /// - Parameters:
  ///   - parameters: `[layout.count]`.
  ///   - ranges: what to read of it, ascending and disjoint; nil reads everything.
  /// - Throws: `ForgeError.badInput` that names a missing, mis-shaped or damaged tensor.
  public func load(into parameters: Buffer<Float>, ranges: [Range<Int>]? = nil, threads: Int = 1) throws {
    let layout = ParameterLayout(configuration)
    precondition(parameters.count == layout.count)
    let parts = layout.parts(of: ranges ?? [0..<layout.count]).map { tensor, part in
      let start = part.lowerBound - tensor.range.lowerBound
      return (tensor: tensor, elements: start..<start + part.count, values: parameters[part])
    }
    switch weights {
    case .safetensors(let collection):
      for part in parts {
        try collection.read(
          part.tensor.name, shape: part.tensor.shape, elements: part.elements, into: part.values.pointer)
      }
    case .checkpoint(let reader):
      try reader.read(
        parts.map {
          CheckpointReader.Request(
            tensor: $0.tensor.name, elements: $0.elements,
            destination: UnsafeMutableRawBufferPointer($0.values.pointer))
        }, threads: threads)
    }
  }

  /// Writes a folder that `transformers` loads: `config.json` and the weights.
  ///
  /// - Parameters:
  ///   - dtype: of the weights; narrower ones are rounded to nearest even. Selection biases stay as they are, since
  ///     a bias moves by less than a narrow type tells apart.
  ///   - maximumShardBytes: above it the weights are split into shards with an index.
  /// - Throws: `ForgeError.tryAgain` when the disk fails.
  public static func write(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, folder: String, dtype: ScalarType = .float32,
    maximumShardBytes: Int = 5_000_000_000
  ) throws {
    let layout = ParameterLayout(configuration)
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw ForgeError.badInput("cannot make the folder '\(folder)': \(systemReason(of: error))")
    }
    let writer = try SafetensorsWriter(
      folder: folder,
      tensors: layout.tensors.map {
        SafetensorsWriter.Tensor(
          name: $0.name, shape: $0.shape, dtype: $0.role == .selectionBias ? .float32 : dtype)
      },
      maximumShardByteCount: maximumShardBytes)
    for tensor in layout.tensors {
      try writer.write(tensor.name, UnsafeBufferPointer(parameters[tensor.range].pointer))
    }
    try writer.finish()
    let file = try OutputFile(path: folder + "/config.json")
    try configuration.huggingFaceJSON(dtype: dtype).withUnsafeBytes { try file.append($0) }
    try file.commit()
  }
}
