import Checkpoints
import ConfigurationFiles
import Datasets
import Foundation
import Support

/// Where the tokenizer of a model is: beside the weights of a Hugging Face folder, or in the run's own copy.
///
/// What merely stands nearby is never taken: it may be another's.
public enum ModelTokenizer {
  /// - Parameter model: a Hugging Face folder, a run directory, its `checkpoints` or one checkpoint.
  /// - Returns: nil when there is none, or when it is not known which the data was made with.
  public static func folder(model: String) -> String? {
    let candidates: [String]
    if FileManager.default.fileExists(atPath: model + "/config.json") {
      candidates = [model, model + "/tokenizer"]
    } else {
      let run = RunDirectory(containing: model)
      // Runs of older versions have no copy.
      candidates = [run.tokenizer, run.path] + dataTokenizers(run)
    }
    return candidates.first { FileManager.default.fileExists(atPath: $0 + "/tokenizer.json") }
  }

  /// The fingerprint of the tokenizer that a run's data was made with, as its checkpoint records it; nil when it does not,
  /// or for a Hugging Face folder.
  public static func recordedFingerprint(model: String) -> String? {
    guard !FileManager.default.fileExists(atPath: model + "/config.json"),
      let reader = try? CheckpointReader(path: model)
    else { return nil }
    return reader.metadata["sources"]?["tokenizer"]?.string
  }

  /// The tokenizers that the datasets of a run's `config.yaml` were made with.
  private static func dataTokenizers(_ run: RunDirectory) -> [String] {
    guard FileManager.default.fileExists(atPath: run.configuration),
      let section = try? ConfigurationSection(ConfigurationNode.load(path: run.configuration)),
      let sources = try? section.section("data")?.sections("train")
    else { return [] }
    return sources.compactMap { entry in
      guard let path = try? entry.string("path") else { return nil }
      let source = DataSource(path: path)
      return source.tokenizerFolder((try? source.description()) ?? nil)
    }
  }
}
