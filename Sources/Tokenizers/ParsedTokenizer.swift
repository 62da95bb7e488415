import Diagnostics

/// The tables of a tokenizer, built from a `TokenizerDocument` that asks for nothing this library does not do.
struct ParsedTokenizer {
  /// Far above any vocabulary, and low enough for a table with a place for each id.
  private static let idLimit: Int32 = 1 << 24

  let pattern: SplitPattern
  let vocabulary: Vocabulary
  let merges: MergeTable
  let byteIDs: [Int32]
  let addedTokens: AddedTokens
  let ignoresMerges: Bool
  let normalizes: Bool

  init(_ document: TokenizerDocument, path: String) throws {
    func unsupported(_ what: String) -> ForgeError {
      ForgeError.badInput("\(path) cannot be used: \(what)")
    }
    let model = document.model
    if let type = model.type, type != "BPE" {
      throw unsupported("its model is '\(type)', and only byte-level BPE is supported")
    }
    if model.dropout ?? 0 != 0 { throw unsupported("it asks for BPE dropout") }
    if !(model.continuingSubwordPrefix ?? "").isEmpty || !(model.endOfWordSuffix ?? "").isEmpty {
      throw unsupported("it marks the parts of words with a prefix or a suffix, as only older models do")
    }
    pattern = try Self.pattern(document.preTokenizer, unsupported)
    normalizes = try Self.normalizes(document.normalizer, unsupported)
    ignoresMerges = model.ignoreMerges ?? false

    let added = document.addedTokens ?? []
    if let token = added.first(where: { $0.singleWord == true || $0.lstrip == true || $0.rstrip == true }) {
      throw unsupported("its token '\(token.content)' takes in the text around it (single_word, lstrip or rstrip)")
    }
    let ids = model.vocab.map { ($0.key, $0.value) } + added.map { ($0.content, $0.id) }
    if let (token, id) = ids.first(where: { !(0..<Self.idLimit).contains($0.1) }) {
      throw unsupported("its token '\(token)' has the id \(id), and ids go from 0 to \(Self.idLimit - 1)")
    }
    addedTokens = AddedTokens(
      added.map { .init(content: Array($0.content.utf8), id: $0.id, isSpecial: $0.special ?? false) })
    vocabulary = Self.vocabulary(model.vocab, addedTokens)
    byteIDs = try Self.byteIDs(vocabulary, unsupported)
    merges = try Self.merges(model.merges, vocabulary, unsupported)
  }

  // MARK: The parts

  private static func pattern(
    _ preTokenizer: TokenizerDocument.PreTokenizer?, _ unsupported: (String) -> ForgeError
  ) throws -> SplitPattern {
    let steps = preTokenizer.map { $0.pretokenizers ?? [$0] } ?? []
    guard let last = steps.last, last.type == "ByteLevel" else {
      throw unsupported("its pre_tokenizer is not ByteLevel, or Split followed by ByteLevel")
    }
    if last.addPrefixSpace ?? true { throw unsupported("it puts a space before every text (add_prefix_space)") }
    if steps.count == 1, last.useRegex ?? true { return .gpt2 }
    guard steps.count == 2, last.useRegex == false, steps[0].type == "Split",
      let expression = steps[0].pattern?.regularExpression,
      steps[0].behavior == "Isolated" && steps[0].invert != true
        || steps[0].behavior == "Removed" && steps[0].invert == true
    else {
      throw unsupported("its pre_tokenizer is not ByteLevel, or Split followed by ByteLevel")
    }
    guard let pattern = SplitPattern(regularExpression: expression) else {
      let names = SplitPattern.allCases.map(\.rawValue).joined(separator: ", ")
      throw unsupported("its splitting pattern is none of \(names): \(expression)")
    }
    return pattern
  }

  private static func normalizes(
    _ normalizer: TokenizerDocument.Normalizer?, _ unsupported: (String) -> ForgeError
  ) throws -> Bool {
    let steps = normalizer.map { $0.normalizers ?? [$0] } ?? []
    if let other = steps.first(where: { $0.type != "NFC" }) {
      throw unsupported("its normalizer is '\(other.type)', and only NFC is supported")
    }
    return !steps.isEmpty
  }

  private static func vocabulary(_ vocab: [String: Int32], _ addedTokens: AddedTokens) -> Vocabulary {
    var vocabulary = Vocabulary(
      vocab.sorted { $0.value < $1.value }
        .map { (ByteAlphabet.bytes(for: $0.key[...]) ?? Array($0.key.utf8), $0.value) })
    // An added token is written as it is, not in the alphabet of bytes.
    for token in addedTokens.tokens { vocabulary.set(token.content, id: token.id) }
    return vocabulary
  }

  private static func byteIDs(_ vocabulary: Vocabulary, _ unsupported: (String) -> ForgeError) throws -> [Int32] {
    try (UInt8.min...UInt8.max).map { byte in
      guard let id = withUnsafePointer(to: byte, { vocabulary.id(of: .init(start: $0, count: 1)) }) else {
        throw unsupported("its vocabulary lacks '\(ByteAlphabet.text(for: [byte]))', the symbol of byte \(byte)")
      }
      return id
    }
  }

  private static func merges(
    _ merges: [TokenizerDocument.Merge], _ vocabulary: Vocabulary, _ unsupported: (String) -> ForgeError
  ) throws -> MergeTable {
    func id(_ text: Substring, _ bytes: [UInt8]) throws -> Int32 {
      guard let id = bytes.withUnsafeBufferPointer(vocabulary.id) else {
        throw unsupported("its merges name '\(text)', which is not in the vocabulary")
      }
      return id
    }
    var table = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let left = ByteAlphabet.bytes(for: merge.left) ?? Array(merge.left.utf8)
      let right = ByteAlphabet.bytes(for: merge.right) ?? Array(merge.right.utf8)
      table.insert(
        left: try id(merge.left, left), right: try id(merge.right, right), rank: rank,
        id: try id(merge.left + merge.right, left + right))
    }
    return table
  }
}
