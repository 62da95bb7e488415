/// A validation of bytes as UTF-8, which counts multi-byte characters and invalid sequences.
struct UTF8Text {
  private let bytes: ArraySlice<UInt8>
  /// How many sequences are invalid; each becomes one U+FFFD (the maximal subparts of the Unicode standard, chapter 3).
  private(set) var strays = 0
  /// How many characters take more than one byte.
  private(set) var multiByteCharacters = 0

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    bytes.withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        index = Self.endOfASCII(bytes, from: index)
        guard index < bytes.count else { break }
        let (length, isCharacter) = Self.sequence(bytes, at: index)
        if isCharacter { multiByteCharacters += 1 } else { strays += 1 }
        index += length
      }
    }
  }

  var isValid: Bool { strays == 0 }

  /// Whether this is UTF-8 with little damage: fewer invalid sequences than 0.1 % of the bytes.
  var isNearlyValid: Bool { strays * 1000 < bytes.count }

  /// The text, with U+FFFD for each invalid sequence.
  func decoded() -> DecodedText {
    guard !isValid else { return DecodedText(bytes: Array(bytes)) }
    var text = DecodedText()
    text.bytes.reserveCapacity(bytes.count + 3 * strays)
    bytes.withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        let end = Self.endOfASCII(bytes, from: index)
        text.bytes += bytes[index..<end]
        index = end
        guard index < bytes.count else { break }
        let (length, isCharacter) = Self.sequence(bytes, at: index)
        if isCharacter { text.bytes += bytes[index..<index + length] } else { text.replace() }
        index += length
      }
    }
    return text
  }

  private static func endOfASCII(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    var index = start
    let raw = UnsafeRawBufferPointer(bytes)
    while index + 8 <= bytes.count {
      guard raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 else { break }
      index += 8
    }
    while index < bytes.count, bytes[index] < 0x80 { index += 1 }
    return index
  }

  /// The length of the sequence that begins at a byte above 0x7F: a character, or the longest start of one that does
  /// not continue as such.
  private static func sequence(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> (length: Int, isCharacter: Bool) {
    let first = bytes[index]
    let (count, second): (Int, ClosedRange<UInt8>) =
      switch first {
      case 0xC2...0xDF: (2, 0x80...0xBF)
      case 0xE0: (3, 0xA0...0xBF)
      case 0xED: (3, 0x80...0x9F)
      case 0xE1...0xEF: (3, 0x80...0xBF)
      case 0xF0: (4, 0x90...0xBF)
      case 0xF1...0xF3: (4, 0x80...0xBF)
      case 0xF4: (4, 0x80...0x8F)
      default: (1, 0x80...0xBF)
      }
    guard count > 1 else { return (1, false) }
    for offset in 1..<count {
      let allowed = offset == 1 ? second : 0x80...0xBF
      guard index + offset < bytes.count, allowed.contains(bytes[index + offset]) else { return (offset, false) }
    }
    return (count, true)
  }
}
