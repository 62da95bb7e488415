import Checkpoints
import Foundation
import RunConfiguration
import Support

/// The sources of a run by content hash: recorded in its checkpoints, and compared when it is resumed.
struct RunSources: Codable, Equatable {
  /// A dataset of the run: one part of a prepared folder, or a `.bin/.idx` pair.
  struct Dataset: Codable, Equatable {
    /// The path in the configuration.
    var path: String
    var weight: Double
    /// The root hash of its `DatasetDigest`.
    var sha256: String
    /// The fingerprint of the tokenizer that encoded it; nil when unknown.
    var tokenizer: String?
    /// The tokens around its documents; nil when unknown, as in checkpoints of older versions.
    var around: DocumentTokens?
  }

  /// The ids before and after every document of a dataset.
  struct DocumentTokens: Codable, Equatable {
    var begin: Int32?
    var end: Int32?
  }

  /// The model of `model.from` when the run was started.
  struct Model: Codable, Equatable {
    var path: String
    /// The hash of the weights: a checkpoint's root hash, or a hash over all safetensors files.
    var sha256: String
    /// The name of the checkpoint; nil for a Hugging Face folder.
    var checkpoint: String?
    /// The fingerprint of the model's tokenizer.
    var tokenizer: String?
  }

  var train: [Dataset] = []
  var validation: [Dataset] = []
  var model: Model?
  /// The fingerprint of the run's tokenizer: that of its data, or of the model if unknown.
  var tokenizer: String?

  // MARK: In a checkpoint's metadata

  static let metadataKey = "sources"

  /// Nil for a checkpoint of a version that recorded paths only.
  init?(_ metadata: JSONValue) {
    guard let value = metadata[Self.metadataKey], let data = try? JSONEncoder().encode(value),
      let sources = try? JSONDecoder().decode(Self.self, from: data)
    else { return nil }
    self = sources
  }

  init() {}

  var metadata: JSONValue {
    get throws { try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(self)) }
  }

  // MARK: Comparing

  /// Why a run that was started with `recorded` cannot be resumed with these sources; nil when it can.
  func violation(to recorded: RunSources) -> String? {
    guard train.count == recorded.train.count else {
      return "was started with \(recorded.train.count) training datasets, not \(train.count)"
    }
    for (index, (now, before)) in zip(train, recorded.train).enumerated() {
      if now.sha256 != before.sha256 { return Self.difference(now, before, key: "data.train.\(index)") }
      if train.count > 1, now.weight != before.weight {
        return "was started with data.train.\(index).weight = \(before.weight), not \(now.weight)"
      }
    }
    for (index, now) in validation.enumerated() where !recorded.validation.contains(where: { $0.sha256 == now.sha256 })
    {
      // The validation sets may change at any time, but a set at the same path must have the same content.
      guard let before = recorded.validation.first(where: { Self.isSame($0.path, now.path) }) else { continue }
      return Self.difference(now, before, key: "data.validation.\(index)")
    }
    if let tokenizer, let before = recorded.tokenizer, tokenizer != before {
      return "was started with data of another tokenizer"
    }
    // A run that is used as the initial model may have newer checkpoints by now.
    if let model, let before = recorded.model, model.checkpoint == before.checkpoint, model.sha256 != before.sha256 {
      return Self.isSame(model.path, before.path)
        ? "was started from another model: '\(model.path)' (model.from) has been replaced since"
        : "was started from '\(before.path)', and '\(model.path)' (model.from) is not the same model"
    }
    return nil
  }

  /// Notes on datasets whose paths have changed.
  func moves(since recorded: RunSources) -> [String] {
    zip(train, recorded.train).filter { !Self.isSame($0.path, $1.path) }
      .map { "'\($0.path)' has the same content as '\($1.path)', with which the run was started" }
  }

  private static func difference(_ now: Dataset, _ before: Dataset, key: String) -> String {
    let hashes = "its content has SHA-256 \(now.sha256.prefix(12))…, not \(before.sha256.prefix(12))…"
    return isSame(now.path, before.path)
      ? "was started with other data: '\(now.path)' (\(key)) has been replaced since; \(hashes)"
      : "was started with '\(before.path)', and '\(now.path)' (\(key)) is not the same data; \(hashes)"
  }

  /// Whether two paths are the same after standardising, such as `data`, `./data/` and the absolute path.
  static func isSame(_ left: String, _ right: String) -> Bool { standardized(left) == standardized(right) }

  static func standardized(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }

  // MARK: Tokenizers

  /// Whether all datasets were already recorded in `recorded`.
  func hasOnlyData(of recorded: RunSources) -> Bool {
    let known = Set((recorded.train + recorded.validation).map(\.sha256))
    return (train + validation).allSatisfy { known.contains($0.sha256) }
  }

  /// Why these datasets and the model cannot be in one run, because their tokenizers differ; nil when they can.
  var mixedTokenizers: Violation? {
    let known = (train + validation).compactMap { set in set.tokenizer.map { (name: "'\(set.path)'", hash: $0) } }
    guard let first = known.first else { return nil }
    if let other = known.first(where: { $0.hash != first.hash }) {
      return Violation(
        "\(first.name) and \(other.name) were made with different tokenizers, so their ids do not mean the same",
        hint: "prepare one of them again with the other's (its folder has a copy, 'tokenizer')",
        code: .tokenizerMismatch)
    }
    let surrounded = (train + validation).compactMap { set in set.around.map { (name: "'\(set.path)'", around: $0) } }
    if let first = surrounded.first, let other = surrounded.first(where: { $0.around != first.around }) {
      func described(_ id: Int32?) -> String { id.map(String.init) ?? "none" }
      func described(_ tokens: DocumentTokens) -> String {
        "begin \(described(tokens.begin)), end \(described(tokens.end))"
      }
      return Violation(
        "the documents of \(first.name) and \(other.name) have different tokens around them (\(described(first.around)); "
          + "\(described(other.around))), though their tokenizer is the same",
        hint: "prepare one of them again with the other's (its folder has a copy, 'tokenizer')",
        code: .tokenizerMismatch)
    }
    if let model, let tokenizer = model.tokenizer, tokenizer != first.hash {
      return Violation(
        "\(first.name) was made with another tokenizer than that of the model '\(model.path)' (model.from), so "
          + "its ids do not mean the same", hint: "prepare the data with the model's tokenizer",
        code: .tokenizerMismatch)
    }
    return nil
  }
}
