import Foundation
import Support

/// The token names in the files beside a `tokenizer.json`: those that begin and end a document, and added tokens.
struct TokenNames {
  /// The files that name the tokens around documents, in order of precedence.
  let configurations: [Configuration]
  /// Whether documents begin with a token.
  let addsBegin: Bool
  /// The tokens of `added_tokens_decoder` in `tokenizer_config.json`, else of `added_tokens.json`, by their ids.
  private let added: [TokenizerDocument.AddedToken]

  /// As in transformers 5, `special_tokens_map.json` takes precedence over a `tokenizer_config.json` without
  /// `added_tokens_decoder`, as older versions wrote it, but not over one with it.
  ///
  /// - Throws: `ForgeError.badInput` when a file is malformed.
  init(files: TokenizerFiles, path: String) throws {
    func read<Value>(
      _ json: Data?, _ name: String, _ body: (JSON.Object) throws(JSON.Malformed) -> Value
    ) throws -> Value? {
      guard let json else { return nil }
      do throws(JSON.Malformed) {
        return try body(JSON([UInt8](json), asPython: true).object())
      } catch {
        throw ForgeError.badInput("the \(name) beside \(path) is malformed: \(error.reason)", code: .malformedFile)
      }
    }
    let name = "tokenizer_config.json"
    let config = try read(files.configuration, name) { object throws(JSON.Malformed) in
      try Configuration(object, name: name)
    }
    let decoder = try read(files.configuration, name) { object throws(JSON.Malformed) in
      try object.object("added_tokens_decoder").map(Self.decoder)
    }
    let mapName = "special_tokens_map.json"
    let map = try read(files.specialTokensMap, mapName) { object throws(JSON.Malformed) in
      try Configuration(object, name: mapName)
    }
    let isNew = decoder.flatMap(\.self) != nil
    configurations = (isNew ? [config, map] : [map, config]).compactMap(\.self)
    addsBegin = config?.addsBegin ?? map?.addsBegin ?? true
    let old = try isNew ? nil : read(files.addedTokens, "added_tokens.json", Self.encoder)
    added = (decoder.flatMap(\.self) ?? old ?? []).sorted { $0.id < $1.id }
  }

  /// Adds the tokens around documents that only these files have, and the added tokens with lower ids, as transformers
  /// does.
  func complete(_ document: inout TokenizerDocument) {
    let named = Set(configurations.flatMap { [$0.begin, $0.end].compactMap(\.self) })
    guard let last = added.last(where: { named.contains($0.content) && !document.has($0.content) }) else { return }
    for token in added where token.id <= last.id && !document.has(token.content) { document.addedTokens.append(token) }
  }

  /// `{"128": {"content": "<end>", …}}`
  private static func decoder(_ object: JSON.Object) throws(JSON.Malformed) -> [TokenizerDocument.AddedToken] {
    var tokens: [TokenizerDocument.AddedToken] = []
    for member in object.members {
      guard let id = Int(member.key) else { throw object.wrongType(member.key) }
      tokens.append(try TokenizerDocument.AddedToken(member.value.object(at: object.path(member.key)), id: id))
    }
    return tokens
  }

  /// `{"<end>": 128}`
  private static func encoder(_ object: JSON.Object) throws(JSON.Malformed) -> [TokenizerDocument.AddedToken] {
    var tokens: [TokenizerDocument.AddedToken] = []
    for member in object.members {
      guard case .integer(let id) = member.value else { throw object.wrongType(member.key) }
      tokens.append(
        TokenizerDocument.AddedToken(
          id: id, content: member.key, isSpecial: true, singleWord: false, stripsLeft: false, stripsRight: false,
          isNormalized: false))
    }
    return tokens
  }
}

extension TokenNames {
  /// One of the two files.
  struct Configuration {
    let name: String
    let begin: String?
    let end: String?
    let addsBegin: Bool?
    /// The keys of the file, those with null included.
    private let keys: Set<String>

    fileprivate init(_ object: JSON.Object, name: String) throws(JSON.Malformed) {
      self.name = name
      begin = try Self.token(object, "bos_token")
      end = try Self.token(object, "eos_token")
      addsBegin = try object.boolean("add_bos_token")
      keys = Set(object.members.lazy.map(\.key))
    }

    func mentions(_ key: String) -> Bool { keys.contains(key) }

    /// Reads a token given as its text or as an object with its `content`.
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
}

extension TokenizerDocument {
  fileprivate func has(_ content: String) -> Bool {
    func isIt(_ name: String) -> Bool { name.utf8.elementsEqual(content.utf8) }
    return addedTokens.contains { isIt($0.content) } || model.vocab.contains { isIt($0.token) }
  }
}
