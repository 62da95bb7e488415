import Diagnostics
import Foundation

/// Which tokens open and close a document, wherever a tokenizer's files name them.
struct DocumentTokens {
  /// The token named as the first of a document, whether documents are to begin with it or not.
  let begin: Int32?
  let end: Int32?
  /// False when the configuration says `"add_bos_token": false`.
  let addsBegin: Bool

  /// Asks `tokenizer_config.json`, then `special_tokens_map.json`, then the post-processor of `tokenizer.json`; where
  /// there is neither of the first two, the usual `<s>` and `</s>` will do.
  ///
  /// - Throws: `ForgeError.badInput` when a file is malformed or names a token that does not exist.
  init(files: TokenizerFiles, postProcessors: [JSON.Object], tokenizer: ParsedTokenizer, path: String) throws {
    let configurations = [
      try files.configuration.map { try Configuration($0, name: "tokenizer_config.json", path: path) },
      try files.specialTokensMap.map { try Configuration($0, name: "special_tokens_map.json", path: path) },
    ].compactMap(\.self)
    let template: Template
    do throws(JSON.Malformed) {
      template = try Template(postProcessors, tokenizer)
    } catch {
      throw ForgeError.badInput("\(path) cannot be used: \(error.reason)")
    }
    func named(_ key: String, _ name: (Configuration) -> String?) throws -> Int32? {
      for configuration in configurations {
        guard let content = name(configuration) else { continue }
        guard let id = tokenizer.id(of: content) else {
          throw ForgeError.badInput(
            "the \(configuration.name) beside \(path) names \(shown(content)) as \(key), and tokenizer.json has no "
              + "such token: add it there, or name another")
        }
        return id
      }
      return nil
    }
    let hasNames = !configurations.isEmpty
    begin = try named("bos_token", \.begin) ?? template.begin ?? (hasNames ? nil : tokenizer.id(of: "<s>"))
    end = try named("eos_token", \.end) ?? template.end ?? (hasNames ? nil : tokenizer.id(of: "</s>"))
    addsBegin = configurations.lazy.compactMap(\.addsBegin).first ?? true
  }
}

/// What `tokenizer_config.json` or `special_tokens_map.json` says of the tokens around a document.
private struct Configuration {
  let name: String
  let begin: String?
  let end: String?
  let addsBegin: Bool?

  init(_ json: Data, name: String, path: String) throws {
    self.name = name
    do throws(JSON.Malformed) {
      let object = try JSON([UInt8](json)).object()
      begin = try Self.token(object, "bos_token")
      end = try Self.token(object, "eos_token")
      addsBegin = try object.boolean("add_bos_token")
    } catch {
      throw ForgeError.badInput("the \(name) beside \(path) is malformed: \(error.reason)")
    }
  }

  /// Written as the token itself or as an object describing it.
  private static func token(_ object: JSON.Object, _ key: String) throws(JSON.Malformed) -> String? {
    switch object[key] {
    case nil: return nil
    case .string(let content): return content
    case .object(let members):
      let token = JSON.Object(members: members, place: key)
      return try token.required("content", token.string("content"))
    default: throw JSON.Malformed("\(key) must be a token or an object with a 'content'")
    }
  }
}

/// The tokens that a post-processor puts before and behind a text.
private struct Template {
  private(set) var begin: Int32?
  private(set) var end: Int32?

  init(_ postProcessors: [JSON.Object], _ tokenizer: ParsedTokenizer) throws(JSON.Malformed) {
    for step in postProcessors {
      let type = try step.required("type", step.string("type"))
      switch type {
      case "ByteLevel": continue
      case "TemplateProcessing":
        let (first, last) = try Self.ends(of: step, tokenizer)
        (begin, end) = (begin ?? first, end ?? last)
      case "BertProcessing", "RobertaProcessing":
        let (first, last) = (try Self.pair("cls", step, tokenizer), try Self.pair("sep", step, tokenizer))
        (begin, end) = (begin ?? first, end ?? last)
      default:
        throw JSON.Malformed(
          "its post_processor \(shown(type)) is none of TemplateProcessing, BertProcessing, RobertaProcessing, "
            + "ByteLevel")
      }
    }
  }

  /// The outermost special tokens of a template for one text, such as `<s> $A </s>`.
  private static func ends(
    of step: JSON.Object, _ tokenizer: ParsedTokenizer
  ) throws(JSON.Malformed) -> (Int32?, Int32?) {
    let pieces = try step.required("single", step.objects("single"))
    func token(_ piece: JSON.Object?, last: Bool) throws(JSON.Malformed) -> Int32? {
      guard let special = try piece?.object("SpecialToken") else { return nil }
      let name = try special.required("id", special.string("id"))
      guard let entry = try step.object("special_tokens")?.object(name) else {
        throw JSON.Malformed("its post_processor puts \(shown(name)) around texts, which is not in its special_tokens")
      }
      let ids = try entry.required("ids", entry.array("ids"))
      let names = try entry.array("tokens") ?? []
      guard case .integer(let id) = last ? ids.last : ids.first else { throw entry.wrongType("ids") }
      if case .string(let token) = last ? names.last : names.first { return try existing(token, id, tokenizer) }
      return try existing(name, id, tokenizer)
    }
    return (try token(pieces.first, last: false), try token(pieces.last, last: true))
  }

  /// Written as `["</s>", 2]`.
  private static func pair(
    _ key: String, _ step: JSON.Object, _ tokenizer: ParsedTokenizer
  ) throws(JSON.Malformed) -> Int32 {
    let pair = try step.required(key, step.array(key))
    guard pair.count == 2, case .string(let name) = pair[0], case .integer(let id) = pair[1] else {
      throw step.wrongType(key)
    }
    return try existing(name, id, tokenizer)
  }

  private static func existing(
    _ name: String, _ id: Int, _ tokenizer: ParsedTokenizer
  ) throws(JSON.Malformed) -> Int32 {
    guard let known = tokenizer.id(of: name), Int(known) == id else {
      throw JSON.Malformed(
        "its post_processor puts \(shown(name)) with the id \(id) around texts, and there is no such token")
    }
    return known
  }
}
