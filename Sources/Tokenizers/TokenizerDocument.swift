import Diagnostics
import Foundation

/// The parts of a Hugging Face `tokenizer.json` that decide the ids.
struct TokenizerDocument: Decodable {
  struct AddedToken: Decodable {
    var id: Int32
    var content: String
    var special: Bool?
    var singleWord: Bool?
    var lstrip: Bool?
    var rstrip: Bool?
  }

  struct Normalizer: Decodable {
    var type: String
    var normalizers: [Normalizer]?
  }

  struct PreTokenizer: Decodable {
    struct Pattern: Decodable {
      var regularExpression: String?
      enum CodingKeys: String, CodingKey { case regularExpression = "Regex" }
    }

    var type: String
    var pretokenizers: [PreTokenizer]?
    var pattern: Pattern?
    var behavior: String?
    var invert: Bool?
    var addPrefixSpace: Bool?
    var useRegex: Bool?
  }

  struct Model: Decodable {
    var type: String?
    var vocab: [String: Int32]
    var merges: [Merge]
    var dropout: Double?
    var continuingSubwordPrefix: String?
    var endOfWordSuffix: String?
    var ignoreMerges: Bool?
  }

  /// Written `"a b"` before tokenizers 0.20 and `["a", "b"]` since.
  struct Merge: Decodable {
    var left: Substring
    var right: Substring

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      let parts: [Substring]
      if let text = try? container.decode(String.self) {
        parts = text.split(separator: " ", omittingEmptySubsequences: false)
      } else {
        parts = try container.decode([String].self).map { $0[...] }
      }
      guard parts.count == 2 else {
        throw DecodingError.dataCorruptedError(in: container, debugDescription: "a merge must name two tokens")
      }
      (left, right) = (parts[0], parts[1])
    }
  }

  var addedTokens: [AddedToken]?
  var normalizer: Normalizer?
  var preTokenizer: PreTokenizer?
  var model: Model

  /// - Parameter path: where the document came from, for messages.
  init(json: Data, path: String) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      self = try decoder.decode(Self.self, from: json)
    } catch {
      throw ForgeError.badInput("\(path) is not a byte-level BPE tokenizer.json: \(Self.explain(error))")
    }
  }

  private static func explain(_ error: any Error) -> String {
    switch error {
    case DecodingError.keyNotFound(let key, _): "it has no '\(key.stringValue)'"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      "'\(context.codingPath.map(\.stringValue).joined(separator: "."))' has the wrong type"
    case DecodingError.dataCorrupted(let context): context.debugDescription
    default: "\(error)"
    }
  }
}
