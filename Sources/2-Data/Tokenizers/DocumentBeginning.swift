import Foundation

/// The beginning of documents in training (a begin-of-sequence token or none), and the rewriting of a tokenizer's
/// post-processor and chat templates to it.
///
/// `transformers`, lm-eval and vLLM prepend what the post-processor of `tokenizer.json` has, whatever `add_bos_token`
/// is, and prepend nothing to what a chat template has rendered.
public struct DocumentBeginning: Sendable {
  private let token: DocumentTokens.Named?
  /// The begin-of-sequence token, when documents do not begin with it.
  private let omitted: DocumentTokens.Named?

  private static let tokenizer = "tokenizer.json"
  private static let configuration = "tokenizer_config.json"
  private static let template = "chat_template"

  /// The beginning of a document by `forge data prepare`.
  ///
  /// - Parameter files: the tokenizer's files, by their paths in its folder.
  /// - Returns: nil when they are not those of a supported tokenizer.
  public init?(files: [String: Data]) {
    guard let around = try? TokenizerFiles(contents: files)?.parsed(path: "").around else { return nil }
    token = around.addsBegin ? around.begin : nil
    omitted = around.addsBegin ? nil : around.begin
  }

  /// Whether a `tokenizer_config.json` holds a chat template.
  public static func hasChatTemplate(configuration: Data) -> Bool {
    (try? JSON([UInt8](configuration), asPython: true).object())?[template] != nil
  }

  /// Rewrites a post-processor and chat templates that begin a text otherwise; every other byte stays as it is.
  ///
  /// - Parameter files: a tokenizer's and its chat templates, by their paths in the folder.
  /// - Returns: a sentence that names what was changed; nil when nothing was.
  public func impose(on files: inout [String: Data]) -> String? {
    var changed: [String] = []
    do throws(JSON.Malformed) {
      if try imposeOnTexts(&files) { changed.append("\(Self.tokenizer) (post_processor)") }
      changed += try imposeOnChats(&files).map { "\($0) (chat template)" }
    } catch {
      // Malformed files are rejected elsewhere.
      return nil
    }
    guard !changed.isEmpty else { return nil }
    let name = shown((token ?? omitted)?.name ?? "a token")
    let (then, now) = token == nil ? ("did not begin", "no longer") : ("began", "now")
    return "documents in training \(then) with \(name), and so \(now) do texts and chats by the written "
      + changed.joined(separator: ", ")
  }

  // MARK: Texts

  /// Returns whether anything was changed.
  private func imposeOnTexts(_ files: inout [String: Data]) throws(JSON.Malformed) -> Bool {
    guard let json = files[Self.tokenizer].map({ [UInt8]($0) }) else { return false }
    let places = try JSON.Places(of: "post_processor", in: json)
    var processor = PostProcessor()
    if let range = places.value { try processor.add(JSON(Array(json[range]))) }
    guard try processor.idsBefore != [token].compactMap({ $0.map { Int($0.id) } }) else { return false }
    try files[Self.tokenizer] = Data(JSON.setting("post_processor", to: processor.beginning(with: token), in: json))
    return true
  }

  // MARK: Chats

  /// Returns the files that were changed.
  private func imposeOnChats(_ files: inout [String: Data]) throws(JSON.Malformed) -> [String] {
    let config = try files[Self.configuration].map { data throws(JSON.Malformed) in
      try JSON([UInt8](data), asPython: true).object()
    }
    var named = config?["bos_token"]
    if case .object(let members) = named { named = JSON.Object(members: members, place: "")["content"] }
    var isNamed = false
    if case .string(let text) = named, text == (token ?? omitted)?.name { isNamed = true }
    var changed: [String] = []
    for path in files.keys.sorted() where path.hasSuffix(".jinja") {
      guard let text = files[path].map({ String(decoding: $0, as: UTF8.self) }),
        let better = rewritten(text, isNamed: isNamed)
      else { continue }
      files[path] = Data(better.utf8)
      changed.append(path)
    }
    if let data = files[Self.configuration], let template = config?[Self.template],
      let better = rewritten(template, isNamed: isNamed)
    {
      files[Self.configuration] = Data(try JSON.setting(Self.template, to: better, in: [UInt8](data)))
      changed.append(Self.configuration)
    }
    return changed
  }

  /// One template, or a list of them with their names; nil when it stays as it is.
  private func rewritten(_ template: JSON, isNamed: Bool) -> JSON? {
    switch template {
    case .string(let text): return rewritten(text, isNamed: isNamed).map(JSON.string)
    case .array(let entries):
      var isChanged = false
      let changed = entries.map { entry -> JSON in
        guard case .object(var members) = entry, let place = members.firstIndex(where: { $0.key == "template" }),
          let better = rewritten(members[place].value, isNamed: isNamed)
        else { return entry }
        members[place].value = better
        isChanged = true
        return .object(members)
      }
      return isChanged ? .array(changed) : nil
    default: return nil
    }
  }

  /// A template that begins with the token, or that renders it as nothing; nil when it stays as it is.
  private func rewritten(_ template: String, isNamed: Bool) -> String? {
    let usesVariable = isNamed && template.contains("bos_token")
    guard let token else {
      let silence = "{%- set bos_token = '' -%}"
      return usesVariable && !template.hasPrefix(silence) ? silence + template : nil
    }
    guard !usesVariable, !template.contains(token.name) else { return nil }
    return (isNamed ? "{{ bos_token }}" : token.name) + template
  }
}

/// The post-processor of a `tokenizer.json`: the special tokens around a text, and the steps that add none.
private struct PostProcessor {
  private var others: [JSON] = []
  /// The template's pieces before and after the text.
  private var before: [JSON] = []
  private var after: [JSON] = []
  private var specials: [JSON.Member] = []

  mutating func add(_ step: JSON) throws(JSON.Malformed) {
    if case .null = step { return }
    let object = try step.object(at: "post_processor")
    switch try object.string("type") {
    case "Sequence":
      for part in try object.array("processors") ?? [] { try add(part) }
    case "TemplateProcessing":
      let pieces = try object.array("single") ?? []
      guard let text = pieces.firstIndex(where: { $0.member("Sequence") != nil }) else {
        throw object.wrongType("single")
      }
      before = pieces[..<text] + before
      after += pieces[(text + 1)...]
      specials += try object.object("special_tokens")?.members ?? []
    case "BertProcessing", "RobertaProcessing":
      for (key, isFirst) in [("cls", true), ("sep", false)] {
        let pair = try object.required(key, object.array(key))
        guard pair.count == 2, case .string(let name) = pair[0], case .integer(let id) = pair[1] else {
          throw object.wrongType(key)
        }
        specials.append(Self.special(name, id))
        let piece = Self.piece("SpecialToken", name)
        if isFirst { before.insert(piece, at: 0) } else { after.append(piece) }
      }
    default: others.append(step)
    }
  }

  /// The ids before a text.
  var idsBefore: [Int] {
    get throws(JSON.Malformed) {
      var ids: [Int] = []
      for piece in before {
        guard case .string(let name) = piece.member("SpecialToken")?.member("id"),
          case .array(let values) = specials.first(where: { $0.key == name })?.value.member("ids")
        else { throw JSON.Malformed("its post_processor is not a template") }
        for case .integer(let id) in values { ids.append(id) }
      }
      return ids
    }
  }

  /// The post-processor with only `token` before a text.
  func beginning(with token: DocumentTokens.Named?) -> JSON {
    let first = token.map { [Self.piece("SpecialToken", $0.name)] } ?? []
    var steps = others
    if !first.isEmpty || !after.isEmpty {
      let single = first + [Self.piece("Sequence", "A")] + after
      let second = first + [Self.piece("Sequence", "B", type: 1)] + after
      var names = (first + after).compactMap { piece -> String? in
        if case .string(let name) = piece.member("SpecialToken")?.member("id") { name } else { nil }
      }
      names = names.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
      let entries = names.compactMap { name in
        token?.name == name
          ? token.map { Self.special($0.name, Int($0.id)) } : specials.first { $0.key == name }
      }
      steps.append(
        .object([
          JSON.Member(key: "type", value: .string("TemplateProcessing")),
          JSON.Member(key: "single", value: .array(single)), JSON.Member(key: "pair", value: .array(single + second)),
          JSON.Member(key: "special_tokens", value: .object(entries)),
        ]))
    }
    guard let only = steps.first else { return .null }
    return steps.count == 1
      ? only
      : .object([
        JSON.Member(key: "type", value: .string("Sequence")), JSON.Member(key: "processors", value: .array(steps)),
      ])
  }

  private static func piece(_ kind: String, _ name: String, type: Int = 0) -> JSON {
    let content = [JSON.Member(key: "id", value: .string(name)), JSON.Member(key: "type_id", value: .integer(type))]
    return .object([JSON.Member(key: kind, value: .object(content))])
  }

  private static func special(_ name: String, _ id: Int) -> JSON.Member {
    let content = [
      JSON.Member(key: "id", value: .string(name)), JSON.Member(key: "ids", value: .array([.integer(id)])),
      JSON.Member(key: "tokens", value: .array([.string(name)])),
    ]
    return JSON.Member(key: name, value: .object(content))
  }
}

extension JSON {
  fileprivate func member(_ key: String) -> JSON? {
    if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil }
  }
}
