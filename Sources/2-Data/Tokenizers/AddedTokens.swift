/// The added tokens of a tokenizer, outside the merges: special tokens such as `<s>`, and words added to a trained
/// vocabulary.
///
/// They are matched as by Hugging Face `tokenizers`, in two passes: those that are not normalised in the raw text, then
/// the others, normalised themselves, in each normalised stretch between.
struct AddedTokens: Sendable {
  struct Token: Sendable {
    var content: [UInt8]
    var id: Int32
    /// A control token: parsed in text only on request, and skipped in decoding.
    var isSpecial: Bool
    /// Matches only where neither neighbour is a word character (`single_word`).
    var singleWord = false
    /// Includes the white space before it (`lstrip`).
    var stripsLeft = false
    /// Includes the white space after it (`rstrip`).
    var stripsRight = false
    var isNormalized = false
  }

  let tokens: [Token]
  let specialIDs: Set<Int32>
  /// The tokens that are matched in raw text.
  let raw: TokenMatcher
  /// The tokens that are matched in normalised text.
  let normalized: TokenMatcher

  /// - Throws: `JSON.Malformed` when two tokens are the same, or one is empty after normalisation.
  init(_ tokens: [Token], normalizer: Normalizer) throws(JSON.Malformed) {
    self.tokens = tokens
    specialIDs = Set(tokens.lazy.filter(\.isSpecial).map(\.id))
    raw = try TokenMatcher(tokens.lazy.filter { !$0.isNormalized }.map { ($0.content, $0) })
    normalized = try TokenMatcher(
      tokens.lazy.filter(\.isNormalized).map { (normalizer.normalized($0.content) ?? $0.content, $0) })
  }

  /// Whether a text may be split after a line feed between visible characters without changing the matches.
  var canCutLines: Bool { raw.canCutLines && normalized.canCutLines }

  /// The id of the added token written `content`.
  func id(of content: String) -> Int32? {
    tokens.first { $0.content.elementsEqual(content.utf8) }?.id
  }

  /// The id of the special token written `content`.
  func specialID(of content: String) -> Int32? {
    tokens.first { $0.isSpecial && $0.content.elementsEqual(content.utf8) }?.id
  }
}

/// A matcher of tokens in text: leftmost first, at each position the longest (`tokenizers`' `find_matches`).
struct TokenMatcher: Sendable {
  private struct Pattern: Sendable {
    var bytes: [UInt8]
    var token: AddedTokens.Token
  }

  /// For each first byte, the patterns that start with it, longest first.
  private let byFirstByte: [[Pattern]]
  private let isFirstByte: [Bool]
  private let ids: Set<Int32>
  let canCutLines: Bool

  /// - Parameter patterns: the bytes to match, and their token.
  init(_ patterns: some Sequence<(bytes: [UInt8], token: AddedTokens.Token)>) throws(JSON.Malformed) {
    var table = [[Pattern]](repeating: [], count: 256)
    var known: Set<[UInt8]> = []
    var ids: Set<Int32> = []
    var canCutLines = true
    for (bytes, token) in patterns {
      let name = shown(String(decoding: token.content, as: UTF8.self))
      guard let first = bytes.first else {
        throw JSON.Malformed("nothing is left of its token \(name) when normalised")
      }
      guard known.insert(bytes).inserted else {
        throw JSON.Malformed("its added token \(name) stands there twice, as it is or when normalised")
      }
      table[Int(first)].append(Pattern(bytes: bytes, token: token))
      ids.insert(token.id)
      if token.stripsLeft || bytes.contains(UInt8(ascii: "\n")) { canCutLines = false }
    }
    for first in table.indices { table[first].sort { $0.bytes.count > $1.bytes.count } }
    byFirstByte = table
    isFirstByte = table.map { !$0.isEmpty }
    self.ids = ids
    self.canCutLines = canCutLines
  }

  /// A piece of a text that is split at the tokens in it.
  enum Part {
    case stretch(Range<Int>)
    case token(Int32)
  }

  /// Splits `text` at the tokens in it and calls `body` with each part, in order.
  ///
  /// - Parameter ignored: ids whose tokens are treated as text; what they cover is not searched for others.
  func split(
    _ text: UnsafeBufferPointer<UInt8>, ignoring ignored: Set<Int32>, _ body: (Part) throws -> Void
  ) rethrows {
    var stretchStart = 0
    var position = ids.isSubset(of: ignored) ? text.count : 0
    while let (found, start, end) = firstMatch(in: text, from: position) {
      position = end
      guard !ignored.contains(found.id), !found.singleWord || standsAlone(start..<end, in: text) else { continue }
      let tokenStart =
        found.stripsLeft ? UTF8Text.spaceStart(in: text, before: start, notBefore: stretchStart) : start
      if stretchStart < tokenStart { try body(.stretch(stretchStart..<tokenStart)) }
      try body(.token(found.id))
      stretchStart = found.stripsRight ? UTF8Text.spaceEnd(in: text, from: end) : end
    }
    if stretchStart < text.count { try body(.stretch(stretchStart..<text.count)) }
  }

  private func firstMatch(
    in text: UnsafeBufferPointer<UInt8>, from first: Int
  ) -> (token: AddedTokens.Token, start: Int, end: Int)? {
    isFirstByte.withUnsafeBufferPointer { isFirstByte in
      for start in first..<text.count where isFirstByte[Int(text[start])] {
        for pattern in byFirstByte[Int(text[start])] {
          let end = start + pattern.bytes.count
          if end <= text.count, pattern.bytes.elementsEqual(text[start..<end]) { return (pattern.token, start, end) }
        }
      }
      return nil
    }
  }

  private func standsAlone(_ range: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> Bool {
    let before = UTF8Text.scalar(in: text, before: range.lowerBound)?.scalar
    let after = UTF8Text.scalar(in: text, at: range.upperBound)?.scalar
    return before.map(UTF8Text.isWord) != true && after.map(UTF8Text.isWord) != true
  }
}
