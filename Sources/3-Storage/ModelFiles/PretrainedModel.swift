import Checkpoints
import ConfigurationFiles
import Formats
import Foundation
import Kernels
import Models
import Support

/// A model on disk: a Hugging Face folder, or a checkpoint of a run.
///
/// Both hold a `config.json` (a checkpoint within its metadata) and the same tensor names.
public struct PretrainedModel {
  public let configuration: ModelConfiguration
  /// Notes for the user on how the model was read, a sentence each.
  public let notes: [String]
  private let weights: Weights

  private enum Weights {
    case safetensors(WeightSources)
    case checkpoint(CheckpointReader)
  }

  /// The key of the model's `config.json` in a checkpoint's metadata.
  public static let metadataKey = "model"

  /// Opens a model and reads its configuration.
  ///
  /// - Parameter path: a Hugging Face folder, a run directory, its `checkpoints` folder or one checkpoint.
  /// - Throws: `ForgeError.badInput` when there is no model, or an unsupported one.
  public init(path: String) throws {
    var notes: [String] = []
    if Self.isHuggingFaceFolder(path) {
      let folder = try Self.folderConfiguration(path)
      let collection = try SafetensorsCollection(path: path)
      configuration = try Self.configuration(of: folder.node, collection, overrides: nil) { notes.append($0) }
      let sources = WeightSources(collection, configuration)
      try sources.checkNames(isWrapped: folder.isWrapped) { notes.append($0) }
      weights = .safetensors(sources)
    } else {
      let reader = try Self.checkpoint(path)
      configuration = try Self.configuration(of: reader)
      weights = .checkpoint(reader)
    }
    self.notes = notes
  }

  /// Reads only the configuration of the model at `folder`.
  ///
  /// - Parameters:
  ///   - overrides: the `model:` section of a run that starts from it.
  ///   - note: called with notes for the user.
  public static func configuration(
    folder: String, overrides: ConfigurationSection? = nil, note: (String) -> Void = { _ in }
  ) throws -> ModelConfiguration {
    guard isHuggingFaceFolder(folder) else { return try configuration(of: checkpoint(folder)) }
    // Missing or damaged weights are reported when they are read.
    let collection = try? SafetensorsCollection(path: folder)
    return try configuration(of: folderConfiguration(folder).node, collection, overrides: overrides, note: note)
  }

  private static func folderConfiguration(_ folder: String) throws -> FolderConfiguration {
    try FolderConfiguration(ConfigurationNode.load(json: folder + "/config.json"))
  }

  private static func configuration(
    of node: ConfigurationNode, _ collection: SafetensorsCollection?, overrides: ConfigurationSection?,
    note: (String) -> Void
  ) throws -> ModelConfiguration {
    var configuration = try ModelConfiguration(
      huggingFace: ConfigurationSection(node), overrides: overrides, author: .folder, note: note)
    guard configuration.tiedEmbeddings, let collection,
      let embedding = WeightSources.found(ModelConfiguration.embeddingNames, in: collection),
      let head = WeightSources.found(ModelConfiguration.headNames, in: collection),
      try !collection.areEqual(embedding, head)
    else { return configuration }
    configuration.tiedEmbeddings = false
    note(
      "\(node.location.source) says that the embeddings are tied, but the weights hold a \(head) of its own: both are used, "
        + "as transformers does")
    return configuration
  }

  private static func configuration(of reader: CheckpointReader) throws -> ModelConfiguration {
    guard let text = reader.metadata[metadataKey]?.string else {
      throw ForgeError.badInput("checkpoint '\(reader.path)' does not say what model it holds", code: .wrongKind)
    }
    return try configuration(recorded: text, source: reader.path + "/manifest.json")
  }

  /// Parses the `config.json` that a checkpoint records.
  ///
  /// - Parameter source: names the text in messages.
  public static func configuration(recorded text: String, source: String) throws -> ModelConfiguration {
    let node = try ConfigurationNode.parse(json: text.utf8, source: source)
    return try ModelConfiguration(huggingFace: ConfigurationSection(node), author: .folder)
  }

  private static func checkpoint(_ path: String) throws -> CheckpointReader {
    do { return try CheckpointReader(path: path) } catch let error as ForgeError {
      throw error.reworded("there is no model in '\(path)': it has no config.json, and ")
    }
  }

  private static func isHuggingFaceFolder(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
  }

  /// Loads parameters, converted to fp32.
  ///
  /// - Parameters:
  ///   - parameters: `[layout.count]`.
  ///   - ranges: the ranges to read, ascending and disjoint; nil for all.
  /// - Throws: `ForgeError.badInput` that names a missing, mis-shaped or damaged tensor.
  public func load(into parameters: Buffer<Float>, ranges: [Range<Int>]? = nil, threads: Int = 1) throws {
    let layout = ParameterLayout(configuration)
    precondition(parameters.count == layout.count)
    let parts = layout.parts(of: ranges ?? [0..<layout.count]).map { tensor, part in
      let start = part.lowerBound - tensor.range.lowerBound
      return (tensor: tensor, elements: start..<start + part.count, values: parameters[part])
    }
    switch weights {
    case .safetensors(let sources):
      for part in parts { try sources.read(part.tensor, elements: part.elements, into: part.values) }
    case .checkpoint(let reader):
      try reader.read(
        parts.map {
          CheckpointReader.Request(
            tensor: $0.tensor.name, elements: $0.elements,
            destination: UnsafeMutableRawBufferPointer($0.values.pointer))
        }, threads: threads)
    }
  }
}
