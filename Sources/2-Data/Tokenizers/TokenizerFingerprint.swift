import Foundation
import Support

/// The fingerprint of a tokenizer: a SHA-256 of what determines the ids of text in its `tokenizer.json`.
///
/// Two files have the same fingerprint when they differ only in layout: white space, the order of keys, merges written
/// `"a b"` or `["a", "b"]`, omitted nulls and falses. Truncation, padding, the post-processor, the decoder, and which
/// added tokens are special are not part of it.
public enum TokenizerFingerprint {
  /// The fingerprint of a `tokenizer.json`; for any other file, the SHA-256 of its bytes.
  public static func hash(json: Data) -> String {
    let text = json.starts(with: [0xEF, 0xBB, 0xBF]) ? json.dropFirst(3) : json
    guard let root = try? JSONSerialization.jsonObject(with: Data(text)) as? [String: Any],
      let model = root["model"] as? [String: Any]
    else { return SHA256.hash(Array(json)).hexadecimal }
    var canonicalText: [UInt8] = []
    func add(_ text: String) { canonicalText += text.utf8 }
    add("forge-tokenizer 1\n")
    for key in ["normalizer", "pre_tokenizer"] { add("\(key) \(canonical(withoutNulls(root[key] ?? NSNull())))\n") }
    add("model \(canonical(modelSettings(model)))\n")
    if let vocabulary = model["vocab"] as? [String: Any] {
      let ids = vocabulary.compactMap { token, id in (id as? Int).map { (id: $0, token: token) } }
      for entry in ids.sorted(by: { $0.id < $1.id }) { add("\(entry.id) \(entry.token.utf8.count) \(entry.token)\n") }
    } else {
      add("\(canonical(model["vocab"] ?? NSNull()))\n")
    }
    for merge in model["merges"] as? [Any] ?? [] {
      let parts = (merge as? [String]) ?? (merge as? String).map { $0.split(separator: " ").map(String.init) } ?? []
      add(parts.map { "\($0.utf8.count) \($0)" }.joined(separator: " ") + "\n")
    }
    for token in addedTokens(root) { add("added \(canonical(token))\n") }
    return SHA256.hash(canonicalText).hexadecimal
  }

  /// The fingerprint of the `tokenizer.json` in a folder; nil when there is none.
  public static func hash(folder: String) -> String? {
    (try? Data(contentsOf: URL(filePath: folder + "/tokenizer.json"))).map(hash)
  }

  /// The model's settings without vocabulary and merges; absent, null, false and empty are the same there.
  private static func modelSettings(_ model: [String: Any]) -> [String: Any] {
    var settings = model.filter { key, value in
      key != "vocab" && key != "merges" && !(value is NSNull) && (value as? Bool) != false && (value as? String) != ""
    }
    settings["type"] = settings["type"] ?? "BPE"
    return settings
  }

  private static func addedTokens(_ root: [String: Any]) -> [[String: Any]] {
    let tokens = (root["added_tokens"] as? [[String: Any]] ?? []).map { token in
      token.filter { key, value in key != "special" && !(value is NSNull) && (key == "id" || (value as? Bool) != false)
      }
    }
    return tokens.sorted { ($0["id"] as? Int ?? 0) < ($1["id"] as? Int ?? 0) }
  }

  private static func withoutNulls(_ value: Any) -> Any {
    switch value {
    case let object as [String: Any]: object.filter { !($0.value is NSNull) }.mapValues(withoutNulls)
    case let list as [Any]: list.map(withoutNulls)
    default: value
    }
  }

  private static func canonical(_ value: Any) -> String {
    let data = try? JSONSerialization.data(
      withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed])
    return String(decoding: data ?? Data(), as: UTF8.self)
  }
}
