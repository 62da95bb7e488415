/// Decoded text as UTF-8, with the number of replacement characters.
struct DecodedText: Sendable {
  /// Valid UTF-8.
  var bytes: [UInt8] = []
  /// How many U+FFFD replace bytes that are invalid in the encoding.
  var replacements = 0

  mutating func append(_ scalar: UInt32) {
    switch scalar {
    case ..<0x80: bytes.append(UInt8(truncatingIfNeeded: scalar))
    case ..<0x800:
      bytes.append(0xC0 | UInt8(truncatingIfNeeded: scalar >> 6))
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar & 0x3F))
    case 0xD800..<0xE000, 0x110000...: replace()
    case ..<0x10000:
      bytes.append(0xE0 | UInt8(truncatingIfNeeded: scalar >> 12))
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar >> 6 & 0x3F))
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar & 0x3F))
    default:
      bytes.append(0xF0 | UInt8(truncatingIfNeeded: scalar >> 18))
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar >> 12 & 0x3F))
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar >> 6 & 0x3F))
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar & 0x3F))
    }
  }

  /// Appends U+FFFD for invalid bytes.
  mutating func replace() {
    bytes += [0xEF, 0xBF, 0xBD]
    replacements += 1
  }
}

extension TextEncoding {
  /// Why bytes cannot be decoded.
  enum Failure: Error {
    /// The standard has no decoder for it (ISO-2022-KR, HZ), because decoding it would be a security risk.
    case unsupported
    /// The C library lacks the table.
    case unavailable
  }

  /// Decodes bytes in this encoding, which have no byte order mark.
  func decode(_ bytes: ArraySlice<UInt8>) throws(Failure) -> DecodedText {
    if let table = SingleByteTables.tables[name] { return Self.decode(bytes, singleByte: table) }
    switch name {
    case "utf-8": return UTF8Text(bytes).decoded()
    case "utf-16le": return Self.decodeUTF16(bytes, high: 1)
    case "utf-16be": return Self.decodeUTF16(bytes, high: 0)
    case "utf-32le": return Self.decodeUTF32(bytes) { $0.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    case "utf-32be": return Self.decodeUTF32(bytes) { $0.reduce(0) { $0 << 8 | UInt32($1) } }
    case "x-user-defined": return Self.decode(bytes, singleByte: (0..<128).map { 0xF780 + $0 })
    case "iso-2022-jp": return try ISO2022JP.decode(bytes)
    default:
      guard let encoding = MultiByteEncoding(rawValue: name) else { throw .unsupported }
      return try encoding.decode(bytes)
    }
  }

  private static func decode(_ bytes: ArraySlice<UInt8>, singleByte table: [UInt32]) -> DecodedText {
    var text = DecodedText()
    text.bytes.reserveCapacity(bytes.count + bytes.count / 4)
    for byte in bytes {
      if byte < 0x80 {
        text.bytes.append(byte)
      } else if table[Int(byte) - 0x80] == 0xFFFD {
        text.replace()
      } else {
        text.append(table[Int(byte) - 0x80])
      }
    }
    return text
  }

  /// `high` is the index of the high byte in a pair.
  private static func decodeUTF16(_ bytes: ArraySlice<UInt8>, high: Int) -> DecodedText {
    var text = DecodedText()
    text.bytes.reserveCapacity(bytes.count)
    func unit(_ index: Int) -> UInt32? {
      index + 1 < bytes.endIndex ? UInt32(bytes[index + high]) << 8 | UInt32(bytes[index + 1 - high]) : nil
    }
    var index = bytes.startIndex
    while let first = unit(index) {
      index += 2
      if first & 0xFC00 == 0xD800, let second = unit(index), second & 0xFC00 == 0xDC00 {
        index += 2
        text.append(0x10000 + (first & 0x3FF) << 10 + second & 0x3FF)
      } else {
        text.append(first)
      }
    }
    if index < bytes.endIndex { text.replace() }
    return text
  }

  private static func decodeUTF32(
    _ bytes: ArraySlice<UInt8>, value: (ArraySlice<UInt8>) -> UInt32
  ) -> DecodedText {
    var text = DecodedText()
    for index in stride(from: bytes.startIndex, to: bytes.endIndex, by: 4) {
      if index + 4 <= bytes.endIndex { text.append(value(bytes[index..<index + 4])) } else { text.replace() }
    }
    return text
  }
}

extension SingleByteTables {
  /// The scalars of the bytes from 0x80, by the encoding's name; U+FFFD for unassigned bytes.
  static let tables: [String: [UInt32]] = {
    var tables = texts.mapValues { text in
      text.split(whereSeparator: \.isWhitespace).map { UInt32($0, radix: 16) ?? 0xFFFD }
    }
    // Differs only in the direction of its text.
    tables["iso-8859-8-i"] = tables["iso-8859-8"]
    return tables
  }()
}

extension TextEncoding {
  /// Whether this machine can decode the encoding.
  public var isAvailable: Bool { (try? decode([])) != nil }
}
