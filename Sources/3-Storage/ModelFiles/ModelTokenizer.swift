import Checkpoints
import ConfigurationFiles
import Datasets
import Foundation
import Support

/// Locates the tokenizer of a model: in a Hugging Face folder, in the run directory, or, for runs of older versions,
/// beside their data.
///
/// Other folders nearby are not searched: a tokenizer there may be of another model.
public enum ModelTokenizer {
  /// The folder of a model's tokenizer.
  ///
  /// - Parameter model: a Hugging Face folder, a run directory, its `checkpoints` or one checkpoint.
  /// - Returns: nil when there is none, or when the tokenizer of the data is unknown.
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

  /// The fingerprint of the tokenizer of a run's data, from its checkpoint; nil if it is not recorded, or for a Hugging
  /// Face folder.
  public static func recordedFingerprint(model: String) -> String? {
    guard !FileManager.default.fileExists(atPath: model + "/config.json"),
      let reader = try? CheckpointReader(path: model)
    else { return nil }
    return reader.metadata["sources"]?["tokenizer"]?.string
  }

  /// The tokenizers of the datasets in a run's `config.yaml`.
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
