/// The rules of encoding for tokens written in text: parsed as tokens, or, for control tokens, encoded as ordinary
/// text.
struct TextRules: Sendable {
  /// Added tokens that are treated as text.
  let ignoredTokens: Set<Int32>
  /// Tokens that no whole word may be encoded to when merges are ignored.
  let keptFromWords: Set<Int32>
  /// The id of each byte's token, `ByteSymbols.missing` for a byte that cannot be encoded.
  let byteIDs: [Int32]
  let hasMissingBytes: Bool
  /// Whether each byte has a token of its own, when bytes without one are fused; else empty.
  let fusedUnlessKnown: [Bool]
  /// The replacement of a token that merges may produce and text must not be encoded to; empty where there is none.
  let replacements: [Int32: [Int32]]

  /// The rules of `tokenizers`: every added token written in the text is parsed.
  static func parsing(_ tokenizer: ParsedTokenizer) -> TextRules {
    TextRules(
      ignoredTokens: [], keptFromWords: [], symbols: tokenizer.symbols, byteIDs: tokenizer.symbols.ids,
      replacements: [:])
  }

  /// The rules for untrusted text: special tokens in it are ordinary text, and it is never encoded to the tokens around
  /// a document, special or not.
  static func plain(_ tokenizer: ParsedTokenizer, _ document: DocumentTokens) -> TextRules {
    let around = Set([document.begin, document.end].compactMap { $0?.id })
    let controls = around.union(tokenizer.addedTokens.specialIDs)
    let symbols = tokenizer.symbols
    let byteIDs = zip(symbols.ids, symbols.isKnown).map { id, isKnown in
      isKnown || !around.contains(id) ? id : ByteSymbols.missing
    }
    var rewriter = Rewriter(tokenizer.merges, controls: controls)
    var replacements: [Int32: [Int32]] = [:]
    let ofBytes = Set(zip(symbols.ids, symbols.isKnown).lazy.filter(\.1).map(\.0))
    for id in controls where rewriter.isMade(id) || ofBytes.contains(id) {
      replacements[id] = rewriter.replacement(for: id) ?? []
    }
    return TextRules(
      ignoredTokens: controls, keptFromWords: controls, symbols: symbols, byteIDs: byteIDs, replacements: replacements)
  }

  private init(
    ignoredTokens: Set<Int32>, keptFromWords: Set<Int32>, symbols: ByteSymbols, byteIDs: [Int32],
    replacements: [Int32: [Int32]]
  ) {
    self.ignoredTokens = ignoredTokens
    self.keptFromWords = keptFromWords
    self.byteIDs = byteIDs
    hasMissingBytes = byteIDs.contains(ByteSymbols.missing)
    fusedUnlessKnown = symbols.fusesUnknown && symbols.isKnown.contains(false) ? symbols.isKnown : []
    self.replacements = replacements
  }
}

/// A rewriter of tokens that merges produce to other tokens: the two halves, or their replacements.
private struct Rewriter {
  private let controls: Set<Int32>
  /// The pairs that merge to each control token, by rank.
  private var pairs: [Int32: [(merge: UInt64, left: Int32, right: Int32)]] = [:]
  /// The replacements found so far; nil for a token without one, or whose search is in progress.
  private var found: [Int32: [Int32]?] = [:]

  init(_ merges: MergeTable, controls: Set<Int32>) {
    self.controls = controls
    for slot in merges.slots where slot.pair != MergeTable.absent {
      let id = Int32(truncatingIfNeeded: slot.merge)
      guard controls.contains(id) else { continue }
      let left = Int32(truncatingIfNeeded: slot.pair >> 32)
      pairs[id, default: []].append((slot.merge, left, Int32(truncatingIfNeeded: slot.pair)))
    }
    for id in pairs.keys { pairs[id]?.sort { $0.merge < $1.merge } }
  }

  func isMade(_ id: Int32) -> Bool { pairs[id] != nil }

  mutating func replacement(for id: Int32) -> [Int32]? {
    if let known = found[id] { return known }
    found[id] = .some(nil)
    for (_, left, right) in pairs[id] ?? [] {
      guard let first = controls.contains(left) ? replacement(for: left) : [left],
        let second = controls.contains(right) ? replacement(for: right) : [right]
      else { continue }
      found[id] = first + second
      return first + second
    }
    return nil
  }
}
