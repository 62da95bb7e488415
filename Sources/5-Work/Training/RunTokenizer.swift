import Datasets
import Foundation
import ModelFiles
import RunConfiguration
import RunStore
import Support
import Tokenizers

/// The run's copy of its data's tokenizer, `RUN/tokenizer`, which `forge export` and `forge generate` use even when the
/// data or the initial model are gone.
enum RunTokenizer {
  /// The files of a tokenizer besides `tokenizer.json`.
  private static let companions = [
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "vocab.json",
    "merges.txt", "tokenizer.model",
  ]

  /// The folder to copy: that of the first dataset with a known tokenizer, or of the initial model or checkpoint.
  static func source(_ configuration: RunConfiguration, _ sources: RunSources) -> String? {
    for set in sources.train + sources.validation where set.tokenizer != nil {
      let source = DataSource(path: set.path)
      if let folder = source.tokenizerFolder((try? source.description()) ?? nil) { return folder }
    }
    return (configuration.pretrained ?? configuration.run.branchFrom).flatMap(ModelTokenizer.folder(model:))
  }

  /// Copies a tokenizer's files atomically, unless the run has a copy.
  ///
  /// - Throws: `ForgeError.badInput` when the copy, or `folder`, has a tokenizer other than the data's; `tryAgain` when
  ///   the run directory cannot be written.
  static func keep(_ folder: String?, expected fingerprint: String?, in run: RunDirectory) throws {
    let manager = FileManager.default
    let target = run.tokenizer
    if manager.fileExists(atPath: target) {
      // It may be the user's, so it is not replaced.
      guard let fingerprint, TokenizerFingerprint.hash(folder: target) != fingerprint else { return }
      throw ForgeError.badInput(
        "'\(target)' is not the tokenizer that the data was made with",
        hint: "remove it, and the next start keeps the right one", code: .tokenizerMismatch
      )
    }
    guard let folder, manager.fileExists(atPath: folder + "/tokenizer.json") else { return }
    guard fingerprint == nil || TokenizerFingerprint.hash(folder: folder) == fingerprint else {
      throw ForgeError.badInput(
        "the run keeps no tokenizer: '\(folder)' is not the one that the data was made with",
        hint: "name the right one when the model is used", code: .tokenizerMismatch)
    }
    let partial = "\(run.path)/.tokenizer-\(UUID().uuidString)"
    do {
      try manager.createDirectory(atPath: partial, withIntermediateDirectories: false)
      for name in ["tokenizer.json"] + companions where manager.fileExists(atPath: "\(folder)/\(name)") {
        // The content, not a link to it.
        let contents = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
        try contents.write(to: URL(fileURLWithPath: "\(partial)/\(name)"))
      }
      try manager.moveItem(atPath: partial, toPath: target)
    } catch {
      try? manager.removeItem(atPath: partial)
      throw ForgeError.tryAgain(
        "cannot keep the tokenizer in '\(target)': \(systemReason(of: error))", code: .system(error, else: .writeFailed)
      )
    }
  }
}
