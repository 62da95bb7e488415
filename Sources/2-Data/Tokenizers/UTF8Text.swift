/// Scalars and white space in bytes that need not be well-formed UTF-8.
enum UTF8Text {
  /// The scalar that starts at `position` and its length in bytes; nil where no well-formed one does (Unicode 16.0,
  /// table 3-7).
  static func scalar(
    in text: some RandomAccessCollection<UInt8>, at position: Int
  ) -> (scalar: Unicode.Scalar, length: Int)? {
    func byte(_ offset: Int) -> UInt8? {
      position + offset < text.count ? text[text.index(text.startIndex, offsetBy: position + offset)] : nil
    }
    guard let lead = byte(0) else { return nil }
    if lead < 0x80 { return (Unicode.Scalar(lead), 1) }
    guard (0xC2...0xF4).contains(lead) else { return nil }
    let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
    var value = UInt32(lead) & (0x7F >> UInt32(length))
    for offset in 1..<length {
      guard let next = byte(offset), next & 0xC0 == 0x80 else { return nil }
      value = value << 6 | UInt32(next) & 0x3F
    }
    let smallest: [UInt32] = [0, 0, 0x80, 0x800, 0x10000]
    guard value >= smallest[length], let scalar = Unicode.Scalar(value) else { return nil }
    return (scalar, length)
  }

  /// The length of the well-formed character at `position`, 0 where there is none.
  static func characterLength(in text: some RandomAccessCollection<UInt8>, at position: Int) -> Int {
    scalar(in: text, at: position)?.length ?? 0
  }

  /// The scalar that ends before `position`, if it is well-formed.
  static func scalar(
    in text: some RandomAccessCollection<UInt8>, before position: Int
  ) -> (scalar: Unicode.Scalar, length: Int)? {
    for length in 1...4 where length <= position {
      if let found = scalar(in: text, at: position - length), found.length == length { return found }
    }
    return nil
  }

  /// The end of the white space that begins at `start`.
  static func spaceEnd(in text: some RandomAccessCollection<UInt8>, from start: Int) -> Int {
    var position = start
    while let (scalar, length) = scalar(in: text, at: position), scalar.properties.isWhitespace { position += length }
    return position
  }

  /// The start of the white space that ends at `end`, not before `limit`.
  static func spaceStart(in text: some RandomAccessCollection<UInt8>, before end: Int, notBefore limit: Int) -> Int {
    var position = end
    while position > limit, let (scalar, length) = scalar(in: text, before: position), scalar.properties.isWhitespace {
      position -= length
    }
    return position
  }

  /// How many lines end in `text`.
  static func lineEnds(in text: some Sequence<UInt8>) -> Int {
    text.reduce(0) { $0 + ($1 == UInt8(ascii: "\n") ? 1 : 0) }
  }

  /// Whether `scalar` is a word character, `\w` of Rust's regular expressions (UTS #18, annex C), which has only the
  /// characters of ``CharacterClasses/isKnown(_:)``.
  static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    guard CharacterClasses.isKnown(properties) else { return false }
    if properties.isAlphabetic || properties.isJoinControl { return true }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return false
    }
  }
}
