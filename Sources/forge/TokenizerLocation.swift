import Configuration
import Diagnostics
import Foundation
import Pretrained

/// Where a model's tokenizer is: next to the weights, in the run directory, or with the data that the run trained on.
struct TokenizerLocation {
  let path: String

  /// - Parameters:
  ///   - model: a Hugging Face folder, a run directory or a checkpoint.
  ///   - named: the folder that the user named, if any.
  /// - Throws: `ForgeError.badInput` when there is none.
  init(model: String, named: String? = nil) throws {
    guard let found = named ?? Self.find(model: model) else {
      throw ForgeError.badInput(
        "there is no tokenizer.json with the model '\(model)'; name its folder with --tokenizer")
    }
    path = found
  }

  /// The folder with the model's `tokenizer.json`; nil when there is none.
  static func find(model: String) -> String? {
    candidates(model).first { FileManager.default.fileExists(atPath: $0 + "/tokenizer.json") }
  }

  /// A checkpoint stands two folders below its run: `RUN/checkpoints/step-00000100`. The neighbours of a Hugging Face
  /// folder are nobody's business.
  private static func candidates(_ model: String) -> [String] {
    let isCheckpoint = !FileManager.default.fileExists(atPath: model + "/config.json")
    let runs = (isCheckpoint ? ["", "/..", "/../.."] : [""]).map { model + $0 }
    return runs.flatMap { run in
      let tokenizers = [run, run + "/tokenizer"]
      let data = dataFolders(run)
      let kept: [String] = data.map { $0 + "/tokenizer" } + ["\(run)/\(ModelFolderFiles.runFolder)"]
      return tokenizers + data + kept
    }
  }

  /// The folders of `data.train` in a run's `config.yaml`.
  private static func dataFolders(_ run: String) -> [String] {
    let file = run + "/config.yaml"
    guard FileManager.default.fileExists(atPath: file),
      let section = try? ConfigurationSection(ConfigurationNode.load(path: file)),
      let sources = try? section.section("data")?.sections("train")
    else { return [] }
    return sources.compactMap { try? $0.string("path") }
  }
}
