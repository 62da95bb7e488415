import Foundation
import ModelFiles
import Support
import Tokenizers

/// The path of a model's tokenizer: the one that the user named, beside the weights, or the run's own copy.
struct TokenizerLocation {
  let path: String

  /// Finds the tokenizer.
  ///
  /// - Parameters:
  ///   - model: a Hugging Face folder, a run directory or a checkpoint.
  ///   - named: the folder that the user named, if any.
  /// - Throws: `ForgeError.badInput` when there is none, or it is not the one that the run's data was prepared with.
  init(model: String, named: String? = nil) throws {
    guard let found = try Self.find(model: model, named: named) else {
      throw ForgeError.badInput(
        "there is no tokenizer.json with the model '\(model)'", hint: "name its folder with --tokenizer",
        code: .fileNotFound)
    }
    path = found
  }

  /// The folder with the model's `tokenizer.json`, or the path that the user named; nil when there is none.
  ///
  /// - Throws: `ForgeError.badInput` when it is not the one that the run's data was prepared with.
  static func find(model: String, named: String? = nil) throws -> String? {
    guard let found = named ?? ModelTokenizer.folder(model: model) else { return nil }
    let folder = found.hasSuffix(".json") ? found.parentFolder : found
    if let recorded = ModelTokenizer.recordedFingerprint(model: model),
      let present = TokenizerFingerprint.hash(folder: folder), present != recorded
    {
      throw ForgeError.badInput(
        "the tokenizer in '\(found)' is not the one that the data of '\(model)' was made with: its ids mean something else",
        hint: named == nil ? "restore the run's own copy" : "leave --tokenizer out to use the run's own copy",
        code: .tokenizerMismatch)
    }
    return found
  }
}
