/// A hand-written scanner of UTF-8 that splits text into words exactly as the regular expression of a `SplitPattern`
/// does.
///
/// The text need not be valid UTF-8: a byte that is not part of a well-formed character is a character of its own, of
/// class `other`, so no byte is ever lost.
struct WordScanner {
  let bytes: UnsafePointer<UInt8>
  /// The end of the text; the patterns look no further.
  let end: Int
  /// `CharacterClasses.table`
  let classes: UnsafePointer<CharacterClass>
  private let maximumDigits: Int
  private let isClassic: Bool

  init(bytes: UnsafePointer<UInt8>, end: Int, pattern: SplitPattern, classes: UnsafePointer<CharacterClass>) {
    self.bytes = bytes
    self.end = end
    self.classes = classes
    maximumDigits = pattern.maximumDigits
    isClassic = pattern.isClassic
  }

  /// The end of the word that starts at `start`, which lies before `end`.
  @inline(__always)
  func wordEnd(from start: Int) -> Int {
    let first = character(at: start)
    switch first.kind {
    case .letter: return runEnd(of: .letter, from: first.end)
    case .number: return numberEnd(from: first.end)
    case .other: return otherEnd(from: start, next: first.end)
    case .whitespace, .newline: return whitespaceEnd(from: start, first: first)
    }
  }

  // MARK: One function per kind of word

  private func numberEnd(from next: Int) -> Int {
    var position = next
    var digits = 1
    while digits < maximumDigits, position < end {
      let character = character(at: position)
      guard character.kind == .number else { break }
      position = character.end
      digits += 1
    }
    return position
  }

  /// A contraction, letters after one other character (not in GPT-2's pattern), or a run of other characters.
  private func otherEnd(from start: Int, next: Int) -> Int {
    if bytes[start] == UInt8(ascii: "'"), let contraction = contractionEnd(from: next) { return contraction }
    if !isClassic, next < end, case let following = character(at: next), following.kind == .letter {
      return runEnd(of: .letter, from: following.end)
    }
    return symbolsEnd(from: next)
  }

  /// `[^\s\p{L}\p{N}]+[\r\n]*` after its first character; GPT-2's pattern leaves line ends out.
  private func symbolsEnd(from next: Int) -> Int {
    let position = runEnd(of: .other, from: next)
    return isClassic ? position : runEnd(of: .newline, from: position)
  }

  @inline(__always)
  private func whitespaceEnd(from start: Int, first: Character) -> Int {
    if first.end < end {
      let following = character(at: first.end)
      let isSpace = bytes[start] == UInt8(ascii: " ")
      switch following.kind {
      case .letter where isSpace || (!isClassic && first.kind != .newline):
        return runEnd(of: .letter, from: following.end)
      case .number where isSpace && isClassic:
        return numberEnd(from: following.end)
      case .other where isSpace:
        return symbolsEnd(from: following.end)
      default:
        break
      }
    }
    return whitespaceRunEnd(from: start, first: first)
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`; GPT-2's pattern has only the last two.
  private func whitespaceRunEnd(from start: Int, first: Character) -> Int {
    var lastStart = start
    var position = first.end
    var newlineEnd = first.kind == .newline ? position : nil
    while position < end {
      let character = character(at: position)
      guard character.kind == .whitespace || character.kind == .newline else { break }
      lastStart = position
      position = character.end
      if character.kind == .newline { newlineEnd = position }
    }
    if !isClassic, let newlineEnd { return newlineEnd }
    // The last white space before a word belongs to that word, unless it is the only one.
    return position == end || lastStart == start ? position : lastStart
  }

  /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` whose apostrophe ends at `next`.
  private func contractionEnd(from next: Int) -> Int? {
    guard next < end else { return nil }
    // Folding case also equates ſ (U+017F) with s.
    if !isClassic, next + 1 < end, bytes[next] == 0xC5, bytes[next + 1] == 0xBF { return next + 2 }
    switch lowercased(bytes[next]) {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return next + 1
    case UInt8(ascii: "r"), UInt8(ascii: "v"): return follows(UInt8(ascii: "e"), at: next + 1)
    case UInt8(ascii: "l"): return follows(UInt8(ascii: "l"), at: next + 1)
    default: return nil
    }
  }

  private func follows(_ letter: UInt8, at position: Int) -> Int? {
    position < end && lowercased(bytes[position]) == letter ? position + 1 : nil
  }

  private func lowercased(_ byte: UInt8) -> UInt8 {
    isClassic || !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte : byte | 0x20
  }

  // MARK: Characters

  struct Character {
    var kind: CharacterClass
    var end: Int
  }

  @inline(__always)
  private func runEnd(of kind: CharacterClass, from next: Int) -> Int {
    var position = next
    while position < end {
      let character = character(at: position)
      guard character.kind == kind else { break }
      position = character.end
    }
    return position
  }

  @inline(__always)
  private func character(at position: Int) -> Character {
    let byte = bytes[position]
    if byte < 0x80 { return Character(kind: classes[Int(byte)], end: position + 1) }
    return multibyteCharacter(at: position)
  }

  /// The character that starts with the non-ASCII byte at `position` (Unicode 16.0, table 3-7: well-formed UTF-8).
  private func multibyteCharacter(at position: Int) -> Character {
    let invalid = Character(kind: .other, end: position + 1)
    let lead = UInt32(bytes[position])
    let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
    guard lead >= 0xC2, lead <= 0xF4, position + length <= end else { return invalid }
    var scalar = lead & (0x7F >> UInt32(length))
    for offset in 1..<length {
      let byte = UInt32(bytes[position + offset])
      guard byte & 0xC0 == 0x80 else { return invalid }
      scalar = scalar << 6 | byte & 0x3F
    }
    let isWellFormed =
      switch length {
      case 2: true
      case 3: scalar >= 0x800 && !(0xD800...0xDFFF).contains(scalar)
      default: scalar >= 0x10000 && scalar <= 0x10FFFF
      }
    guard isWellFormed else { return invalid }
    let kind = scalar < CharacterClasses.limit ? classes[Int(scalar)] : .other
    return Character(kind: kind, end: position + length)
  }
}
