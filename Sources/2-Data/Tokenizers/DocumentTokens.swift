import Foundation
import Support

/// The begin- and end-of-sequence tokens of documents, from any of a tokenizer's files.
struct DocumentTokens {
  /// A token's name and id.
  typealias Named = (name: String, id: Int32)

  /// The begin-of-sequence token, whether documents begin with it or not.
  let begin: Named?
  let end: Named?
  /// False when the configuration has `"add_bos_token": false`.
  let addsBegin: Bool

  /// Looks in `tokenizer_config.json` and `special_tokens_map.json`, then in the post-processor of `tokenizer.json`;
  /// without either of the first two files it falls back to `<s>` and `</s>`.
  ///
  /// - Throws: `ForgeError.badInput` when a token that is named does not exist.
  init(_ names: TokenNames, postProcessors: [JSON.Object], tokenizer: ParsedTokenizer, path: String) throws {
    let template: Template
    do throws(JSON.Malformed) {
      template = try Template(postProcessors, tokenizer)
    } catch {
      throw ForgeError.badInput("\(path) cannot be used: \(error.reason)", code: .unsupportedFormat)
    }
    func named(_ key: String, _ name: (TokenNames.Configuration) -> String?) throws -> Named? {
      // A key with null is not looked up in the next file.
      guard let configuration = names.configurations.first(where: { $0.mentions(key) }),
        let content = name(configuration)
      else { return nil }
      guard let id = tokenizer.id(of: content) else {
        throw ForgeError.badInput(
          "the \(configuration.name) beside \(path) names \(shown(content)) as \(key), and tokenizer.json has no "
            + "such token", hint: "add it there, or name another", after: ": ", code: .malformedFile)
      }
      return (content, id)
    }
    func usual(_ name: String) -> Named? {
      names.configurations.isEmpty ? tokenizer.id(of: name).map { (name, $0) } : nil
    }
    begin = try named("bos_token", \.begin) ?? template.begin ?? usual("<s>")
    end = try named("eos_token", \.end) ?? template.end ?? usual("</s>")
    addsBegin = names.addsBegin
  }
}

/// The tokens that a post-processor puts before and after a text.
private struct Template {
  private(set) var begin: DocumentTokens.Named?
  private(set) var end: DocumentTokens.Named?

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
  ) throws(JSON.Malformed) -> (DocumentTokens.Named?, DocumentTokens.Named?) {
    let pieces = try step.required("single", step.objects("single"))
    func token(_ piece: JSON.Object?, last: Bool) throws(JSON.Malformed) -> DocumentTokens.Named? {
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
  ) throws(JSON.Malformed) -> DocumentTokens.Named {
    let pair = try step.required(key, step.array(key))
    guard pair.count == 2, case .string(let name) = pair[0], case .integer(let id) = pair[1] else {
      throw step.wrongType(key)
    }
    return try existing(name, id, tokenizer)
  }

  private static func existing(
    _ name: String, _ id: Int, _ tokenizer: ParsedTokenizer
  ) throws(JSON.Malformed) -> DocumentTokens.Named {
    guard let known = tokenizer.id(of: name), Int(known) == id else {
      throw JSON.Malformed(
        "its post_processor puts \(shown(name)) with the id \(id) around texts, and there is no such token")
    }
    return (name, known)
  }
}
