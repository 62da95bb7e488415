import Foundation
import Kernels
import ModelFiles
import Models
import Support
import Tokenizers

/// A model in memory.
struct LoadedModel {
  let configuration: ModelConfiguration
  let parameters: Arena<Float>
  /// What belongs to the model beside its weights.
  let files: ModelFolderFiles

  /// More than a machine has processors.
  static let maxThreads = 4096

  /// - Parameter path: a Hugging Face folder, a run directory or a checkpoint.
  /// - Throws: `ForgeError` when there is no model, or it cannot be read.
  init(path: String, threads: Int) throws {
    guard (1...Self.maxThreads).contains(threads) else {
      throw ForgeError.badInput("--threads must be between 1 and \(Self.maxThreads), not \(threads)")
    }
    let model = try PretrainedModel(path: path)
    for note in model.notes { FileHandle.standardError.write(Data("forge: \(note)\n".utf8)) }
    configuration = model.configuration
    files = try ModelFolderFiles(model: path)
    let count = ParameterLayout(configuration).count
    try AddressSpace.check(bytes: 4 * count)
    parameters = Arena(count: count)
    try model.load(into: parameters.buffer, threads: threads)
  }

  /// The tokens after which a generation ends: any that `config.json`, `generation_config.json` or the tokenizer names.
  func ends(_ tokenizer: Tokenizer) throws -> Set<Int32> {
    let stated = try configuration.endOfSequence + files.generationEnds
    return Set(stated.compactMap(Int32.init(exactly:))).union([tokenizer.endOfSequence].compactMap(\.self))
  }
}
