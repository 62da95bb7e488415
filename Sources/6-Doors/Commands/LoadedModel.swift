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

  /// - Parameters:
  ///   - path: a Hugging Face folder, a run directory or a checkpoint.
  ///   - sinks: are told what is worth knowing about the model.
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

  /// The tokens after which a generation ends: any that `config.json`, `generation_config.json` or the tokenizer names.
  func ends(_ tokenizer: Tokenizer) throws -> Set<Int32> {
    let stated = try configuration.endOfSequence + files.generationEnds
    return Set(stated.compactMap(Int32.init(exactly:))).union([tokenizer.endOfSequence].compactMap(\.self))
  }
}
