import Checkpoints
import ConfigurationFiles
import Foundation
import ModelFiles
import Models
import RunConfiguration
import Support

/// Semantic comparison of a run with the checkpoint that it resumes from.
extension RunRecord {
  /// The change of model or data that prevents resuming; nil for none.
  ///
  /// - Parameter settings: as recorded in the checkpoint.
  func violation(_ metadata: JSONValue, _ settings: JSONValue, _ present: RunSources) throws -> String? {
    if let text = (metadata[PretrainedModel.metadataKey] ?? settings["model"])?.string, !isSameModel(text) {
      return "was started with another model"
    }
    if let sources { return present.violation(to: sources) }
    // Checkpoints of older versions recorded only the paths of the data.
    guard let recorded = settings["data.train"]?.string else { return nil }
    let before = recorded.components(separatedBy: ", ").map(Self.standardized).joined(separator: ", ")
    let now = present.train.map { Self.standardized("\($0.path) × \($0.weight)") }.joined(separator: ", ")
    return before == now ? nil : "was started with data.train = \(recorded), not \(now)"
  }

  private static func standardized(_ entry: String) -> String {
    let parts = entry.components(separatedBy: " × ")
    return ([RunSources.standardized(parts[0])] + parts.dropFirst()).joined(separator: " × ")
  }

  /// Whether a recorded `config.json` computes the same as the run's model, apart from the ids that begin and end a
  /// text.
  private func isSameModel(_ text: String) -> Bool {
    if text == String(decoding: configuration.model.huggingFaceJSON(), as: UTF8.self) { return true }
    return (try? PretrainedModel.configuration(recorded: text, source: "the checkpoint"))?
      .computesAs(configuration.model) ?? false
  }

  // MARK: The configuration

  /// Whether these keys have the same values in the checkpoint's configuration.
  func hasSame(_ keys: [String], as configuration: RunConfiguration) -> Bool {
    guard let before = recordedValues else { return false }
    let now = configuration.source.leaves
    func concerned(_ values: [String: String]) -> [String: String] {
      values.filter { value in keys.contains { value.key == $0 || value.key.hasPrefix($0 + ".") } }
    }
    return concerned(before) == concerned(now)
  }

  /// The keys whose values differ from the checkpoint's: `optimizer.weight_decay: 0.1 → 0.05`.
  var changes: [String] {
    guard let before = recordedValues else { return [] }
    let now = configuration.source.leaves
    return Set(before.keys).union(now.keys).sorted().compactMap { key in
      before[key] == now[key] ? nil : "\(key): \(before[key] ?? "not set") → \(now[key] ?? "not set")"
    }
  }

  private var recordedValues: [String: String]? {
    continuedConfiguration.flatMap { try? ConfigurationNode.parse($0, source: "the checkpoint") }.map(\.leaves)
  }
}
