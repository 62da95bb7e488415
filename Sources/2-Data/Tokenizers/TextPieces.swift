/// A split of long texts into pieces, at positions where every pre-tokenization pattern ends a word.
enum TextPieces {
  /// The size in bytes of a piece when threads share a text.
  static let usualSize = 1 << 20

  /// The ranges of pieces of about `size` bytes, which cover `text` in order.
  ///
  /// A cut is made only after a line feed between two visible ASCII characters. All patterns end a word there, and
  /// find the same words when the text ends or begins there.
  static func cut(_ text: [UInt8], into size: Int = usualSize) -> [Range<Int>] {
    var pieces: [Range<Int>] = []
    var start = 0
    while start < text.count {
      var end = min(start + size, text.count)
      while end < text.count, !isCut(text, at: end) { end += 1 }
      pieces.append(start..<end)
      start = end
    }
    return pieces
  }

  private static func isCut(_ text: [UInt8], at position: Int) -> Bool {
    position >= 2 && text[position - 1] == UInt8(ascii: "\n") && isVisible(text[position - 2])
      && isVisible(text[position])
  }

  private static func isVisible(_ byte: UInt8) -> Bool { (0x21...0x7E).contains(byte) }
}
