/// The multi-byte encodings of East Asia, decoded by the Encoding standard's algorithms.
enum MultiByteEncoding: String {
  case gbk
  case gb18030
  case big5
  case eucJP = "euc-jp"
  case shiftJIS = "shift_jis"
  case eucKR = "euc-kr"

  /// A decoded sequence that begins with a byte from 0x80.
  private enum Sequence {
    case scalar(UInt32, length: Int)
    /// A base letter and a combining mark.
    case pair(UInt32, UInt32)
    /// Invalid bytes, without those that may begin a character.
    case nothing(length: Int)
  }

  func decode(_ bytes: ArraySlice<UInt8>) throws(TextEncoding.Failure) -> DecodedText {
    let tables = try CharacterTables.of(self)
    var text = DecodedText()
    text.bytes.reserveCapacity(bytes.count * 3 / 2)
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if byte < 0x80 {
        text.bytes.append(byte)
        index += 1
        continue
      }
      switch sequence(bytes[index...], tables) {
      case .scalar(let scalar, let length):
        text.append(scalar)
        index += length
      case .pair(let base, let mark):
        text.append(base)
        text.append(mark)
        index += 2
      case .nothing(let length):
        text.replace()
        index += length
      }
    }
    return text
  }

  private func sequence(_ rest: ArraySlice<UInt8>, _ tables: CharacterTables) -> Sequence {
    let lead = rest[rest.startIndex]
    let trail = rest.count > 1 ? rest[rest.startIndex + 1] : nil
    switch self {
    case .shiftJIS:
      if lead == 0x80 { return .scalar(0x80, length: 1) }
      if (0xA1...0xDF).contains(lead) { return .scalar(0xFF61 - 0xA1 + UInt32(lead), length: 1) }
      guard lead != 0xA0, lead <= 0xFC else { return .nothing(length: 1) }
    case .eucJP:
      if lead == 0x8E, let trail, (0xA1...0xDF).contains(trail) {
        return .scalar(0xFF61 - 0xA1 + UInt32(trail), length: 2)
      }
      if lead == 0x8F, let trail, (0xA1...0xFE).contains(trail) { return threeBytes(rest, tables) }
      guard lead == 0x8E || lead == 0x8F || (0xA1...0xFE).contains(lead) else { return .nothing(length: 1) }
    case .gbk, .gb18030:
      if lead == 0x80 { return .scalar(0x20AC, length: 1) }
      guard lead != 0xFF else { return .nothing(length: 1) }
      if let trail, (0x30...0x39).contains(trail) { return fourBytes(rest) }
    case .big5, .eucKR:
      guard (0x81...0xFE).contains(lead) else { return .nothing(length: 1) }
    }
    guard let trail else { return .nothing(length: 1) }
    if self == .big5, lead == 0x88, let mark = Self.big5Marks[trail] { return .pair(trail < 0x80 ? 0xCA : 0xEA, mark) }
    if let scalar = tables.scalar(lead, trail) { return .scalar(scalar, length: 2) }
    return .nothing(length: trail < 0x80 ? 1 : 2)
  }

  /// The combining mark over Ê or ê of the sequence 0x88 and one of these.
  private static let big5Marks: [UInt8: UInt32] = [0x62: 0x304, 0x64: 0x30C, 0xA3: 0x304, 0xA5: 0x30C]

  /// A character of JIS X 0212.
  private func threeBytes(_ rest: ArraySlice<UInt8>, _ tables: CharacterTables) -> Sequence {
    guard rest.count > 2 else { return .nothing(length: rest.count) }
    let (lead, trail) = (rest[rest.startIndex + 1], rest[rest.startIndex + 2])
    if let scalar = tables.supplement(lead, trail) { return .scalar(scalar, length: 3) }
    return .nothing(length: trail < 0x80 ? 2 : 3)
  }

  /// A character of GB 18030's linear ranges.
  private func fourBytes(_ rest: ArraySlice<UInt8>) -> Sequence {
    guard rest.count > 3 else { return .nothing(length: rest.count) }
    let bytes = Array(rest.prefix(4))
    guard (0x81...0xFE).contains(bytes[2]), (0x30...0x39).contains(bytes[3]) else { return .nothing(length: 1) }
    let pointer = bytes.enumerated().reduce(0) { sum, element in
      element.offset % 2 == 0 ? sum * 126 + Int(element.element) - 0x81 : sum * 10 + Int(element.element) - 0x30
    }
    guard let scalar = GB18030Ranges.scalar(of: pointer) else { return .nothing(length: 4) }
    return .scalar(scalar, length: 4)
  }
}

/// ISO-2022-JP: a seven-bit encoding whose escape sequences switch the character set.
enum ISO2022JP {
  private enum Mode {
    case ascii, roman, katakana, kanji
  }

  private static let escapes: [(sequence: [UInt8], mode: Mode)] = [
    ([0x1B, 0x28, 0x42], .ascii), ([0x1B, 0x28, 0x4A], .roman), ([0x1B, 0x28, 0x49], .katakana),
    ([0x1B, 0x24, 0x40], .kanji), ([0x1B, 0x24, 0x42], .kanji),
  ]

  static func decode(_ bytes: ArraySlice<UInt8>) throws(TextEncoding.Failure) -> DecodedText {
    let tables = try CharacterTables.of(.eucJP)
    var text = DecodedText()
    var mode = Mode.ascii
    var rest = bytes
    while let byte = rest.first {
      if let escape = escapes.first(where: { rest.starts(with: $0.sequence) }) {
        mode = escape.mode
        rest = rest.dropFirst(3)
        continue
      }
      var length = 1
      switch (mode, byte) {
      case (.kanji, 0x21...0x7E):
        if let trail = rest.dropFirst().first, (0x21...0x7E).contains(trail) {
          length = 2
          if let scalar = tables.scalar(byte | 0x80, trail | 0x80) { text.append(scalar) } else { text.replace() }
        } else {
          text.replace()
        }
      case (.katakana, 0x21...0x5F): text.append(0xFF61 - 0x21 + UInt32(byte))
      case (.roman, 0x5C): text.append(0xA5)
      case (.roman, 0x7E): text.append(0x203E)
      case (_, 0x0E), (_, 0x0F), (_, 0x1B), (_, 0x80...): text.replace()
      case (.katakana, 0x60...0x7E): text.replace()
      default: text.append(UInt32(byte))
      }
      rest = rest.dropFirst(length)
    }
    return text
  }
}
