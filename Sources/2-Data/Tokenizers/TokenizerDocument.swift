import Foundation
import Support

/// The parts of a Hugging Face `tokenizer.json` that determine the ids.
struct TokenizerDocument {
  struct AddedToken {
    var id: Int
    var content: String
    var isSpecial: Bool
    var singleWord: Bool
    var stripsLeft: Bool
    var stripsRight: Bool
    /// Matched in normalised text, and normalised itself.
    var isNormalized: Bool
  }

  struct PreTokenizer {
    var type: String
    var regularExpression: String?
    var behavior: String?
    var invert: Bool
    var addPrefixSpace: Bool
    var useRegex: Bool
  }

  struct Model {
    var type: String?
    /// In the order of the file.
    var vocab: [(token: String, id: Int)]
    var merges: [Merge]
    var dropout: Double?
    var unknownToken: String?
    var fusesUnknown: Bool
    var fallsBackToBytes: Bool
    var continuingSubwordPrefix: String?
    var endOfWordSuffix: String?
    var ignoresMerges: Bool
  }

  struct Merge {
    var left: String
    var right: String
  }

  var addedTokens: [AddedToken]
  /// The normalizer's steps, with sequences flattened, as in the next two.
  var normalizers: [JSON.Object]
  var preTokenizers: [PreTokenizer]
  var postProcessors: [JSON.Object]
  var model: Model

  /// - Parameter path: where the document came from, for messages.
  init(json: Data, path: String) throws {
    do throws(JSON.Malformed) {
      try self.init(JSON([UInt8](json)).object())
    } catch {
      throw ForgeError.badInput(
        "\(path) is not a byte-level BPE tokenizer.json: \(error.reason)", code: .unsupportedFormat)
    }
  }

  private init(_ document: JSON.Object) throws(JSON.Malformed) {
    addedTokens = []
    for token in try document.objects("added_tokens") ?? [] { addedTokens.append(try AddedToken(token)) }
    normalizers = try Self.flattened(document.object("normalizer"), parts: "normalizers")
    preTokenizers = []
    for step in try Self.flattened(document.object("pre_tokenizer"), parts: "pretokenizers") {
      preTokenizers.append(try PreTokenizer(step))
    }
    postProcessors = try Self.flattened(document.object("post_processor"), parts: "processors")
    model = try Model(document.required("model", document.object("model")))
  }

  /// The steps of a part, with a `Sequence` of others flattened.
  private static func flattened(_ part: JSON.Object?, parts: String) throws(JSON.Malformed) -> [JSON.Object] {
    guard let part else { return [] }
    guard try part.required("type", part.string("type")) == "Sequence" else { return [part] }
    var steps: [JSON.Object] = []
    for step in try part.required(parts, part.objects(parts)) { steps += try flattened(step, parts: parts) }
    return steps
  }
}

extension TokenizerDocument.AddedToken {
  fileprivate init(_ token: JSON.Object) throws(JSON.Malformed) {
    guard case .integer(let id) = try token.required("id", token["id"]) else { throw token.wrongType("id") }
    try self.init(token, id: id)
  }

  init(_ token: JSON.Object, id: Int) throws(JSON.Malformed) {
    self.id = id
    content = try token.required("content", token.string("content"))
    isSpecial = try token.boolean("special") ?? false
    singleWord = try token.boolean("single_word") ?? false
    stripsLeft = try token.boolean("lstrip") ?? false
    stripsRight = try token.boolean("rstrip") ?? false
    isNormalized = try token.boolean("normalized") ?? !isSpecial
  }
}

extension TokenizerDocument.PreTokenizer {
  fileprivate init(_ step: JSON.Object) throws(JSON.Malformed) {
    type = try step.required("type", step.string("type"))
    regularExpression = type == "Split" ? try step.object("pattern")?.string("Regex") : nil
    behavior = type == "Split" ? try step.string("behavior") : nil
    invert = try step.boolean("invert") ?? false
    addPrefixSpace = try step.boolean("add_prefix_space") ?? true
    useRegex = try step.boolean("use_regex") ?? true
  }
}

extension TokenizerDocument.Model {
  fileprivate init(_ model: JSON.Object) throws(JSON.Malformed) {
    type = try model.string("type")
    let entries = try model.required("vocab", model.object("vocab"))
    vocab = []
    vocab.reserveCapacity(entries.members.count)
    for entry in entries.members {
      guard case .integer(let id) = entry.value else { throw entries.wrongType(entry.key) }
      vocab.append((entry.key, id))
    }
    let pairs = try model.required("merges", model.array("merges"))
    merges = []
    merges.reserveCapacity(pairs.count)
    for pair in pairs { merges.append(try .init(pair)) }
    dropout = try model.number("dropout")
    unknownToken = try model.string("unk_token")
    fusesUnknown = try model.boolean("fuse_unk") ?? false
    fallsBackToBytes = try model.boolean("byte_fallback") ?? false
    continuingSubwordPrefix = try model.string("continuing_subword_prefix")
    endOfWordSuffix = try model.string("end_of_word_suffix")
    ignoresMerges = try model.boolean("ignore_merges") ?? false
  }
}

extension TokenizerDocument.Merge {
  /// Written `"a b"` before tokenizers 0.20 and `["a", "b"]` since.
  fileprivate init(_ pair: JSON) throws(JSON.Malformed) {
    switch pair {
    case .string(let text):
      let parts = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
      if parts.count == 2 {
        (left, right) = (String(Substring(parts[0])), String(Substring(parts[1])))
        return
      }
    case .array(let parts):
      if parts.count == 2, case .string(let left) = parts[0], case .string(let right) = parts[1] {
        (self.left, self.right) = (left, right)
        return
      }
    default: break
    }
    throw JSON.Malformed("a merge must name two tokens")
  }
}
