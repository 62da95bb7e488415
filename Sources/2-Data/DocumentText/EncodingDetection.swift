/// Detection of the character encoding of bytes.
enum EncodingDetection {
  /// The encoding of a byte order mark (BOM), and the mark's length in bytes; nil when there is none.
  static func mark(of bytes: [UInt8]) -> (encoding: TextEncoding, length: Int)? {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { return (.utf8, 3) }
    if bytes.starts(with: [0xFF, 0xFE, 0, 0]), bytes.count % 4 == 0 { return (.utf32LittleEndian, 4) }
    if bytes.starts(with: [0, 0, 0xFE, 0xFF]) { return (.utf32BigEndian, 4) }
    if bytes.starts(with: [0xFF, 0xFE]) { return (.utf16LittleEndian, 2) }
    if bytes.starts(with: [0xFE, 0xFF]) { return (.utf16BigEndian, 2) }
    return nil
  }

  /// The byte order of an XML declaration in UTF-16 without a byte order mark, as in the standard's prescan; nil when
  /// there is none.
  static func utf16Declaration(of bytes: [UInt8]) -> TextEncoding? {
    if bytes.starts(with: [0x3C, 0, 0x3F, 0, 0x78, 0]) { return .utf16LittleEndian }
    return bytes.starts(with: [0, 0x3C, 0, 0x3F, 0, 0x78]) ? .utf16BigEndian : nil
  }

  /// Decodes a page: by its byte order mark; else as UTF-8 when it is valid or nearly valid, whatever it declares; else
  /// by its declared encoding; else as UTF-8 when most non-ASCII sequences are valid; else as `fallback`, or
  /// windows-1252.
  static func decodePage(_ bytes: [UInt8], fallback: TextEncoding?) throws(TextEncoding.Failure) -> DecodedText {
    if let mark = mark(of: bytes) { return try mark.encoding.decode(bytes[mark.length...]) }
    let declared = declaredEncoding(of: bytes)
    // ISO-2022-JP has ASCII bytes only and would pass for UTF-8.
    if let declared, declared.name == "iso-2022-jp", bytes.contains(0x1B) { return try declared.decode(bytes[...]) }
    let utf8 = UTF8Text(bytes[...])
    // So would the standard's "replacement" encodings, which have no decoder.
    if let declared, declared.isReplacement, utf8.multiByteCharacters == 0 { throw .unsupported }
    if utf8.isValid || utf8.isNearlyValid && utf8.multiByteCharacters >= 20 * utf8.strays { return utf8.decoded() }
    if let declared { return try declared.decode(bytes[...]) }
    if utf8.multiByteCharacters > utf8.strays { return utf8.decoded() }
    return try (fallback ?? .windows1252).decode(bytes[...])
  }

  /// The encoding declared by an XML declaration or a `meta` element; nil when there is none. Scans the first 1024
  /// bytes, as a browser's prescan does, then on to the body, as its parser does.
  static func declaredEncoding(of bytes: [UInt8]) -> TextEncoding? {
    if let encoding = xmlDeclaration(bytes) { return encoding }
    var scan = MetaScan(bytes: bytes)
    return scan.encoding()
  }

  private static func xmlDeclaration(_ bytes: [UInt8]) -> TextEncoding? {
    guard bytes.starts(with: Array("<?xml".utf8)), let end = bytes.prefix(1024).firstIndex(of: UInt8(ascii: ">")) else {
      return nil
    }
    let declaration = String(decoding: bytes[..<end], as: UTF8.self)
    guard let place = declaration.firstRange(of: "encoding") else { return nil }
    let value = declaration[place.upperBound...].drop { $0.isWhitespace }
    guard value.first == "=" else { return nil }
    let quoted = value.dropFirst().drop { $0.isWhitespace }
    guard let quote = quoted.first, quote == "\"" || quote == "'",
      let last = quoted.dropFirst().firstIndex(of: quote)
    else { return nil }
    return usable(String(quoted.dropFirst()[..<last]))
  }

  /// The encoding of a declared label, with the standard's substitutions: UTF-8 for UTF-16, in which the label would
  /// not have been readable, and windows-1252 for x-user-defined.
  static func usable(_ label: String) -> TextEncoding? {
    guard let encoding = TextEncoding(label: label) else { return nil }
    switch encoding.name {
    case "utf-16le", "utf-16be": return .utf8
    case "x-user-defined": return .windows1252
    default: return encoding
    }
  }
}

/// The standard's prescan of a byte stream to determine its encoding, without its limit of 1024 bytes.
private struct MetaScan {
  let bytes: [UInt8]
  private var index = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func encoding() -> TextEncoding? {
    while index < bytes.count {
      guard bytes[index] == UInt8(ascii: "<") else {
        index += 1
        continue
      }
      if matches("<!--") {
        skipComment()
      } else if matches("<meta"), index + 5 < bytes.count, isSpace(bytes[index + 5]) || bytes[index + 5] == 0x2F {
        index += 5
        if let encoding = meta() { return encoding }
      } else if index > 1024, matches("<body") {
        return nil
      } else if index + 1 < bytes.count, isLetter(bytes[index + 1]) || bytes[index + 1] == 0x2F {
        index += 1
        while index < bytes.count, !isSpace(bytes[index]), bytes[index] != UInt8(ascii: ">") { index += 1 }
        while attribute() != nil {}
      } else if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "!") || bytes[index + 1] == UInt8(ascii: "?")
      {
        while index < bytes.count, bytes[index] != UInt8(ascii: ">") { index += 1 }
      } else {
        index += 1
      }
    }
    return nil
  }

  private mutating func meta() -> TextEncoding? {
    var seen: Set<String> = []
    var isPragma = false
    var needsPragma: Bool?
    var encoding: TextEncoding?
    while let (name, value) = attribute() {
      guard seen.insert(name).inserted else { continue }
      switch name {
      case "http-equiv": isPragma = value == "content-type"
      case "content" where encoding == nil:
        if let label = Self.charset(in: value), let found = EncodingDetection.usable(label) {
          encoding = found
          needsPragma = true
        }
      case "charset":
        encoding = EncodingDetection.usable(value)
        needsPragma = false
      default: break
      }
    }
    guard let needsPragma, !needsPragma || isPragma else { return nil }
    return encoding
  }

  /// The standard's "extracting a character encoding from a meta element".
  private static func charset(in content: String) -> String? {
    var rest = content[...]
    while let place = rest.firstRange(of: "charset") {
      rest = rest[place.upperBound...].drop { $0.isWhitespace }
      guard rest.first == "=" else { continue }
      rest = rest.dropFirst().drop { $0.isWhitespace }
      guard let quote = rest.first else { return nil }
      if quote == "\"" || quote == "'" {
        guard let end = rest.dropFirst().firstIndex(of: quote) else { return nil }
        return String(rest.dropFirst()[..<end])
      }
      return String(rest.prefix { !$0.isWhitespace && $0 != ";" })
    }
    return nil
  }

  /// The next attribute of a tag, in lower case; nil at the tag's end.
  private mutating func attribute() -> (name: String, value: String)? {
    while index < bytes.count, isSpace(bytes[index]) || bytes[index] == 0x2F { index += 1 }
    guard index < bytes.count, bytes[index] != UInt8(ascii: ">") else { return nil }
    let start = index
    while index < bytes.count, !isSpace(bytes[index]), bytes[index] != 0x2F, bytes[index] != UInt8(ascii: ">"),
      bytes[index] != UInt8(ascii: "=") || index == start
    { index += 1 }
    let name = text(start..<index)
    while index < bytes.count, isSpace(bytes[index]) { index += 1 }
    guard index < bytes.count, bytes[index] == UInt8(ascii: "=") else { return (name, "") }
    index += 1
    while index < bytes.count, isSpace(bytes[index]) { index += 1 }
    guard index < bytes.count else { return nil }
    let quote = bytes[index]
    if quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
      index += 1
      let start = index
      while index < bytes.count, bytes[index] != quote { index += 1 }
      let value = text(start..<index)
      index = min(index + 1, bytes.count)
      return (name, value)
    }
    let valueStart = index
    while index < bytes.count, !isSpace(bytes[index]), bytes[index] != UInt8(ascii: ">") { index += 1 }
    return (name, text(valueStart..<index))
  }

  private mutating func skipComment() {
    index += 2
    while index < bytes.count, !matches("-->") { index += 1 }
    index = min(index + 3, bytes.count)
  }

  private func matches(_ text: StaticString) -> Bool {
    guard index + text.utf8CodeUnitCount <= bytes.count else { return false }
    for offset in 0..<text.utf8CodeUnitCount {
      let byte = bytes[index + offset]
      let lower = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
      guard lower == text.utf8Start[offset] else { return false }
    }
    return true
  }

  private func text(_ range: Range<Int>) -> String {
    // Long values, such as `data:` URLs, contain no label.
    range.count > 200 ? "" : String(decoding: bytes[range], as: UTF8.self).lowercased()
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) && byte != 0x0B }

  private func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) }
}
