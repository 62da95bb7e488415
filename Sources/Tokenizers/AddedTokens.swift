/// The tokens that stand outside the merges: special tokens such as `<s>`, and words added to a trained vocabulary.
struct AddedTokens: Sendable {
  struct Token: Sendable {
    var content: [UInt8]
    var id: Int32
    /// A control token: recognised in text only when asked for, and left out of decoded text.
    var isSpecial: Bool
  }

  struct Match {
    var range: Range<Int>
    var id: Int32
  }

  let tokens: [Token]
  let specialIDs: Set<Int32>
  /// For each first byte, the tokens that start with it, longest first.
  private let byFirstByte: [[Token]]
  private let hasOrdinaryTokens: Bool

  init(_ tokens: [Token]) {
    self.tokens = tokens
    specialIDs = Set(tokens.lazy.filter(\.isSpecial).map(\.id))
    hasOrdinaryTokens = tokens.contains { !$0.isSpecial }
    var table = [[Token]](repeating: [], count: 256)
    for token in tokens.sorted(by: { $0.content.count > $1.content.count }) {
      if let first = token.content.first { table[Int(first)].append(token) }
    }
    byFirstByte = table
  }

  /// Whether a line feed is part of some token.
  var spanLines: Bool { tokens.contains { $0.content.contains(UInt8(ascii: "\n")) } }

  /// The id of the special token written `content`.
  func specialID(of content: String) -> Int32? {
    tokens.first { $0.isSpecial && $0.content.elementsEqual(content.utf8) }?.id
  }

  /// The first token written in `text` at or after `start`; of several at one place the longest.
  func firstMatch(in text: UnsafeBufferPointer<UInt8>, from start: Int, parseSpecialTokens: Bool) -> Match? {
    guard parseSpecialTokens ? !tokens.isEmpty : hasOrdinaryTokens else { return nil }
    for position in start..<text.count {
      for token in byFirstByte[Int(text[position])] where parseSpecialTokens || !token.isSpecial {
        let end = position + token.content.count
        if end <= text.count, token.content.elementsEqual(text[position..<end]) {
          return Match(range: position..<end, id: token.id)
        }
      }
    }
    return nil
  }
}
