import Foundation
import Kernels
import ModelFiles
import Models
import Support
import Tokenizers

/// A model loaded into memory: configuration, fp32 parameters and companion files.
struct LoadedModel {
  let configuration: ModelConfiguration
  let parameters: Arena<Float>
  /// The model's files other than its weights, such as the tokenizer and generation settings.
  let files: ModelFolderFiles

  /// Loads a model.
  ///
  /// - Parameters:
  ///   - path: a Hugging Face folder, a run directory or a checkpoint.
  ///   - sinks: receive notes about the model.
  /// - Throws: `ForgeError` when there is no model, or it cannot be read.
  init(path: String, threads: Int, _ sinks: CommandSinks) throws {
    try ThreadLimit.check(threads)
    let model = try PretrainedModel(path: path)
    model.notes.forEach(sinks.note)
    configuration = model.configuration
    files = try ModelFolderFiles(model: path)
    let count = ParameterLayout(configuration).count
    try AddressSpace.check(bytes: 4 * count)
    parameters = Arena(count: count)
    try model.load(into: parameters.buffer, threads: threads)
  }

  /// The end-of-sequence tokens: those of `config.json`, `generation_config.json` and the tokenizer.
  func ends(_ tokenizer: Tokenizer) throws -> Set<Int32> {
    let stated = try configuration.endOfSequence + files.generationEnds
    return Set(stated.compactMap(Int32.init(exactly:))).union([tokenizer.endOfSequence].compactMap(\.self))
  }
}
