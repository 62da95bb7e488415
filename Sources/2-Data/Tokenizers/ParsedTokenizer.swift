import Support

/// The tables of a tokenizer, built from a `TokenizerDocument` whose features are all supported.
struct ParsedTokenizer {
  /// Far above any vocabulary, and low enough for a table with an entry for each id.
  static let idLimit = 1 << 24

  let pattern: SplitPattern
  let normalizer: Normalizer
  let vocabulary: Vocabulary
  let merges: MergeTable
  let symbols: ByteSymbols
  let addedTokens: AddedTokens
  let ignoresMerges: Bool
  /// The ids of the tokens whose names are not in the byte alphabet.
  private let otherNames: [[UInt8]: Int32]

  init(_ document: TokenizerDocument, path: String) throws {
    do throws(JSON.Malformed) {
      let model = document.model
      try Self.check(model)
      pattern = try Self.pattern(document.preTokenizers)
      normalizer = try Normalizer(document.normalizers)
      ignoresMerges = model.ignoresMerges
      let names = try VocabularyNames(model)
      otherNames = names.others
      addedTokens = try AddedTokens(Self.added(document, names), normalizer: normalizer)
      vocabulary = names.vocabulary(with: addedTokens)
      symbols = ByteSymbols(model, names)
      merges = try Self.merges(model.merges, names)
    } catch {
      throw ForgeError.badInput("\(path) cannot be used: \(error.reason)", code: .unsupportedFormat)
    }
  }

  /// The id of the token written `content`, added or in the vocabulary.
  func id(of content: String) -> Int32? {
    if let id = addedTokens.id(of: content) { return id }
    guard let bytes = ByteAlphabet.bytes(for: content[...]) else { return otherNames[Array(content.utf8)] }
    return bytes.withUnsafeBufferPointer(vocabulary.id)
  }

  // MARK: The parts

  private static func check(_ model: TokenizerDocument.Model) throws(JSON.Malformed) {
    if let type = model.type, type != "BPE" {
      throw JSON.Malformed("its model is \(shown(type)), and only byte-level BPE is supported")
    }
    if model.dropout ?? 0 != 0 { throw JSON.Malformed("it asks for BPE dropout") }
    if !(model.continuingSubwordPrefix ?? "").isEmpty || !(model.endOfWordSuffix ?? "").isEmpty {
      throw JSON.Malformed("it marks the parts of words with a prefix or a suffix, as only older models do")
    }
  }

  private static func pattern(_ steps: [TokenizerDocument.PreTokenizer]) throws(JSON.Malformed) -> SplitPattern {
    let other = JSON.Malformed("its pre_tokenizer is not ByteLevel, or Split followed by ByteLevel")
    guard let last = steps.last, last.type == "ByteLevel" else { throw other }
    if last.addPrefixSpace { throw JSON.Malformed("it puts a space before every text (add_prefix_space)") }
    if steps.count == 1, last.useRegex { return .gpt2 }
    guard steps.count == 2, !last.useRegex, steps[0].type == "Split", let expression = steps[0].regularExpression,
      steps[0].behavior == "Isolated" && !steps[0].invert || steps[0].behavior == "Removed" && steps[0].invert
    else { throw other }
    guard let pattern = SplitPattern(regularExpression: expression) else {
      let names = SplitPattern.allCases.map(\.rawValue).joined(separator: ", ")
      throw JSON.Malformed("its splitting pattern is none of \(names): \(shown(expression))")
    }
    return pattern
  }

  /// The added tokens, with the ids that `tokenizers` assigns: those of the vocabulary, and for new ones those that
  /// follow.
  private static func added(
    _ document: TokenizerDocument, _ names: VocabularyNames
  ) throws(JSON.Malformed) -> [AddedTokens.Token] {
    let size = document.model.vocab.count
    var next = size
    let taken = Dictionary(
      document.model.vocab.lazy.filter { $0.id >= size }.map { ($0.id, $0.token) },
      uniquingKeysWith: { first, _ in first })
    var tokens: [AddedTokens.Token] = []
    var contents: Set<[UInt8]> = []
    for token in document.addedTokens where !token.content.isEmpty {
      guard contents.insert(Array(token.content.utf8)).inserted else {
        throw JSON.Malformed("its added token \(shown(token.content)) stands there twice")
      }
      let id = names.id(of: token.content).map(Int.init) ?? next
      guard token.id == id else {
        throw JSON.Malformed(
          "its added token \(shown(token.content)) has the id \(token.id), and 'tokenizers' gives it \(id), "
            + (id == next ? "which follows those before it" : "as in its vocabulary") + ": correct the file")
      }
      if let other = taken[id], !other.utf8.elementsEqual(token.content.utf8) {
        throw VocabularyNames.twice(other, token.content, id)
      }
      next = max(next, id + 1)
      tokens.append(
        AddedTokens.Token(
          content: Array(token.content.utf8), id: try VocabularyNames.checked(token.id, token.content),
          isSpecial: token.isSpecial, singleWord: token.singleWord, stripsLeft: token.stripsLeft,
          stripsRight: token.stripsRight, isNormalized: token.isNormalized))
    }
    return tokens
  }

  private static func merges(
    _ merges: [TokenizerDocument.Merge], _ names: VocabularyNames
  ) throws(JSON.Malformed) -> MergeTable {
    func id(_ text: String) throws(JSON.Malformed) -> Int32 {
      guard let id = names.id(of: text) else {
        throw JSON.Malformed("its merges name \(shown(text)), which is not in the vocabulary")
      }
      return id
    }
    var table = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      table.insert(
        left: try id(merge.left), right: try id(merge.right), rank: rank, id: try id(merge.left + merge.right))
    }
    return table
  }
}

/// The names of a vocabulary's tokens, most of them in the byte alphabet.
struct VocabularyNames {
  /// The tokens by the bytes that they decode to.
  private var spelled: Vocabulary
  /// The ids of the tokens whose names are not in the byte alphabet, to which no text is encoded.
  let others: [[UInt8]: Int32]

  /// - Throws: `JSON.Malformed` when an id is out of range.
  init(_ model: TokenizerDocument.Model) throws(JSON.Malformed) {
    var spelled: [(bytes: [UInt8], id: Int32)] = []
    var others: [[UInt8]: Int32] = [:]
    spelled.reserveCapacity(model.vocab.count)
    for (token, id) in model.vocab {
      let id = try Self.checked(id, token)
      if let bytes = ByteAlphabet.bytes(for: token[...]), !bytes.isEmpty {
        spelled.append((bytes, id))
      } else {
        others[Array(token.utf8)] = id
      }
    }
    try Self.checkDistinct(model.vocab)
    self.spelled = Vocabulary(spelled)
    self.others = others
  }

  /// Rejects two tokens with the same id, of which each reader would choose another.
  private static func checkDistinct(_ vocab: [(token: String, id: Int)]) throws(JSON.Malformed) {
    var owners = [Int32](repeating: -1, count: (vocab.lazy.map(\.id).max() ?? -1) + 1)
    for (place, entry) in vocab.enumerated() {
      guard owners[entry.id] < 0 else {
        throw twice(vocab[Int(owners[entry.id])].token, entry.token, entry.id)
      }
      owners[entry.id] = Int32(place)
    }
  }

  static func twice(_ first: String, _ second: String, _ id: Int) -> JSON.Malformed {
    JSON.Malformed("its tokens \(shown(first)) and \(shown(second)) have the same id \(id): correct the file")
  }

  static func checked(_ id: Int, _ token: String) throws(JSON.Malformed) -> Int32 {
    guard (0..<ParsedTokenizer.idLimit).contains(id) else {
      throw JSON.Malformed(
        "its token \(shown(token)) has the id \(id), and ids go from 0 to \(ParsedTokenizer.idLimit - 1)")
    }
    return Int32(id)
  }

  func id(of name: String) -> Int32? {
    guard let bytes = ByteAlphabet.bytes(for: name[...]), !bytes.isEmpty else { return others[Array(name.utf8)] }
    return bytes.withUnsafeBufferPointer(spelled.id)
  }

  /// The vocabulary with the added tokens, whose names are not in the byte alphabet.
  func vocabulary(with addedTokens: AddedTokens) -> Vocabulary {
    var vocabulary = spelled
    for (name, id) in others { vocabulary.set(name, id: id) }
    for token in addedTokens.tokens { vocabulary.set(token.content, id: token.id) }
    return vocabulary
  }
}

/// The byte tokens of a vocabulary.
struct ByteSymbols: Sendable {
  /// The id of a byte without a token, when the tokenizer has no unknown token.
  static let missing: Int32 = -1

  /// The id of each byte's token; for a byte without one, that of the unknown token or `missing`.
  let ids: [Int32]
  /// Whether each byte has a token of its own.
  let isKnown: [Bool]
  /// The unknown token, if the tokenizer has one.
  let unknown: Int32?
  /// Whether adjacent bytes without a token become one unknown token.
  let fusesUnknown: Bool

  init(_ model: TokenizerDocument.Model, _ names: VocabularyNames) {
    let known = ByteAlphabet.characters.map { names.id(of: String($0)) }
    let unknown = model.unknownToken.flatMap(names.id)
    ids = zip(known, ByteAlphabet.characters).map { id, character in
      id ?? (model.fallsBackToBytes && Self.hasFallback(character, names) ? nil : unknown) ?? Self.missing
    }
    isKnown = known.map { $0 != nil }
    self.unknown = unknown
    fusesUnknown = model.fusesUnknown
  }

  /// Whether `tokenizers` would encode the bytes of the *symbol* as tokens like `<0xC4>`, which do not decode to the
  /// text.
  private static func hasFallback(_ character: Unicode.Scalar, _ names: VocabularyNames) -> Bool {
    String(character).utf8.allSatisfy { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return names.id(of: "<0x\(digits.count < 2 ? "0" : "")\(digits)>") != nil
    }
  }
}
