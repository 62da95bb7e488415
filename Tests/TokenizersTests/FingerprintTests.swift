import Foundation
import Testing

@testable import Tokenizers

@Suite struct FingerprintTests {
  private func document(_ name: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Fixture.data(name)) as? [String: Any])
  }

  private func fingerprint(_ document: [String: Any], options: JSONSerialization.WritingOptions = []) throws -> String {
    TokenizerFingerprint.hash(json: try JSONSerialization.data(withJSONObject: document, options: options))
  }

  private func changed(_ document: [String: Any], _ key: String, _ edit: (inout [String: Any]) -> Void) -> [String: Any]
  {
    var document = document
    var part = document[key] as? [String: Any] ?? [:]
    edit(&part)
    document[key] = part
    return document
  }

  @Test(arguments: Fixture.tokenizers) func layoutDoesNotCount(name: String) throws {
    let hash = TokenizerFingerprint.hash(json: try Fixture.data(name))
    var other = try document(name)
    #expect(try fingerprint(other) == hash)
    #expect(try fingerprint(other, options: [.prettyPrinted, .sortedKeys]) == hash)
    #expect(TokenizerFingerprint.hash(json: Data([0xEF, 0xBB, 0xBF]) + (try Fixture.data(name))) == hash)
    // Changes by transformers when it saves a tokenizer again, and keys that decide no ids.
    for key in ["post_processor", "decoder", "truncation", "padding", "version"] { other[key] = nil }
    other = changed(other, "model") { (model: inout [String: Any]) in
      let merges = model["merges"] as? [Any] ?? []
      model["merges"] = merges.map { merge -> Any in
        if let pair = merge as? [String] { return pair.joined(separator: " ") }
        return (merge as? String)?.split(separator: " ").map(String.init) ?? []
      }
      model["dropout"] = model["dropout"] ?? NSNull()
      model["fuse_unk"] = model["fuse_unk"] ?? false
      model["type"] = "BPE"
    }
    other["added_tokens"] = (other["added_tokens"] as? [[String: Any]])?.reversed().map { token in
      var token = token
      token["special"] = false
      return token
    }
    #expect(try fingerprint(other) == hash)
  }

  @Test(arguments: Fixture.tokenizers) func whatDecidesIdsCounts(name: String) throws {
    let whole = try document(name)
    let hash = try fingerprint(whole)
    var others: [[String: Any]] = []
    others.append(
      changed(whole, "model") { (model: inout [String: Any]) in
        let merges = model["merges"] as? [Any] ?? []
        model["merges"] = Array(merges.dropLast())
      })
    others.append(
      changed(whole, "model") { (model: inout [String: Any]) in
        let merges = model["merges"] as? [Any] ?? []
        model["merges"] = Array(merges.reversed())
      })
    others.append(
      changed(whole, "model") { (model: inout [String: Any]) in
        let ignores = model["ignore_merges"] as? Bool ?? false
        model["ignore_merges"] = !ignores
      })
    others.append(
      changed(whole, "model") { (model: inout [String: Any]) in
        var vocabulary = model["vocab"] as? [String: Int] ?? [:]
        (vocabulary["a"], vocabulary["b"]) = (vocabulary["b"], vocabulary["a"])
        model["vocab"] = vocabulary
      })
    let parts: [(String, Any)] = [
      ("normalizer", ["type": "Lowercase"] as [String: Any]),
      ("pre_tokenizer", ["type": "ByteLevel", "use_regex": false] as [String: Any]),
      ("pre_tokenizer", ["type": "ByteLevel"] as [String: Any]),
      ("added_tokens", [["id": 999, "content": "<new>"] as [String: Any]]),
    ]
    for (key, value) in parts {
      var other = whole
      other[key] = value
      others.append(other)
    }
    let hashes = try others.map { try fingerprint($0) }
    #expect(Set(hashes + [hash]).count == others.count + 1)
  }
}
