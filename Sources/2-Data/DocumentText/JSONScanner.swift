/// A streaming JSON parser (RFC 8259): reads objects member by member and skips the values that are not needed.
public struct JSONScanner {
  private let bytes: UnsafeBufferPointer<UInt8>
  public private(set) var index: Int
  /// How many unpaired surrogates became U+FFFD in the strings read.
  public private(set) var replacements = 0

  /// Not JSON, or truncated.
  public struct Malformed: Error {}

  public init(_ bytes: UnsafeBufferPointer<UInt8>, from index: Int = 0) {
    self.bytes = bytes
    self.index = index
  }

  /// Skips white space and returns the next byte without consuming it; nil at the end.
  public mutating func peek() -> UInt8? {
    while index < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[index]) { index += 1 }
    return index < bytes.count ? bytes[index] : nil
  }

  /// Calls `member` with every member's name; it reads the value and returns true, or returns false to skip it.
  public mutating func readObject(_ member: (String, inout JSONScanner) throws -> Bool) throws {
    try expect("{")
    if peek() == UInt8(ascii: "}") {
      index += 1
      return
    }
    while true {
      let name = String(decoding: try readString(), as: UTF8.self)
      try expect(":")
      if try !member(name, &self) { try skipValue() }
      guard let byte = peek() else { throw Malformed() }
      index += 1
      if byte == UInt8(ascii: "}") { return }
      guard byte == UInt8(ascii: ",") else { throw Malformed() }
    }
  }

  /// Calls `element` before every element of an array, to read it.
  public mutating func readArray(_ element: (inout JSONScanner) throws -> Void) throws {
    try expect("[")
    if peek() == UInt8(ascii: "]") {
      index += 1
      return
    }
    while true {
      try element(&self)
      guard let byte = peek() else { throw Malformed() }
      index += 1
      if byte == UInt8(ascii: "]") { return }
      guard byte == UInt8(ascii: ",") else { throw Malformed() }
    }
  }

  /// Reads a string as UTF-8. An unpaired surrogate, which some writers make, becomes U+FFFD.
  public mutating func readString() throws -> [UInt8] {
    try expect("\"")
    var text = DecodedText()
    while index < bytes.count {
      let start = index
      while index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\"),
        bytes[index] >= 0x20
      { index += 1 }
      text.bytes += bytes[start..<index]
      guard index < bytes.count, bytes[index] >= 0x20 else { throw Malformed() }
      index += 1
      if bytes[index - 1] == UInt8(ascii: "\"") {
        replacements += text.replacements
        return text.bytes
      }
      try readEscape(into: &text)
    }
    throw Malformed()
  }

  /// Skips a value of any depth, without recursion.
  public mutating func skipValue() throws {
    // The closing brackets that are due, the innermost last.
    var open: [UInt8] = []
    while true {
      switch peek() {
      case UInt8(ascii: "{"):
        index += 1
        if peek() != UInt8(ascii: "}") {
          open.append(UInt8(ascii: "}"))
          try skipName()
          continue
        }
        index += 1
      case UInt8(ascii: "["):
        index += 1
        if peek() != UInt8(ascii: "]") {
          open.append(UInt8(ascii: "]"))
          continue
        }
        index += 1
      case UInt8(ascii: "\""): try skipString()
      default: try skipWord()
      }
      // Closes the arrays and objects that end with the value.
      while let bracket = open.last, peek() == bracket {
        index += 1
        open.removeLast()
      }
      guard let bracket = open.last else { return }
      try expect(",")
      if bracket == UInt8(ascii: "}") { try skipName() }
    }
  }

  private mutating func skipName() throws {
    guard peek() == UInt8(ascii: "\"") else { throw Malformed() }
    try skipString()
    try expect(":")
  }

  private mutating func skipString() throws {
    index += 1
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      switch byte {
      case UInt8(ascii: "\""): return
      case UInt8(ascii: "\\"):
        var character = DecodedText()
        try readEscape(into: &character)
      case ..<0x20: throw Malformed()
      default: break
      }
    }
    throw Malformed()
  }

  /// Skips a number, `true`, `false` or `null`; NaN and Infinity, which Python writes, too.
  private mutating func skipWord() throws {
    let start = index
    while index < bytes.count, bytes[index].isJSONWord { index += 1 }
    let word = bytes[start..<index]
    let isName = Self.words.contains { name in
      word.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }
    guard isName || Self.isNumber(word) else { throw Malformed() }
  }

  private static let words: [StaticString] = ["true", "false", "null", "NaN", "Infinity", "-Infinity"]

  private static func isNumber(_ word: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
    var rest = word
    if rest.first == UInt8(ascii: "-") { rest.removeFirst() }
    func takeDigits() -> Int {
      let count = rest.prefix { isDigit($0) }.count
      rest = rest.dropFirst(count)
      return count
    }
    if rest.first == UInt8(ascii: "0") {
      rest.removeFirst()
    } else if takeDigits() == 0 {
      return false
    }
    if rest.first == UInt8(ascii: ".") {
      rest.removeFirst()
      if takeDigits() == 0 { return false }
    }
    if let exponent = rest.first, exponent | 0x20 == UInt8(ascii: "e") {
      rest.removeFirst()
      if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { rest.removeFirst() }
      if takeDigits() == 0 { return false }
    }
    return rest.isEmpty
  }

  private mutating func readEscape(into text: inout DecodedText) throws {
    guard index < bytes.count else { throw Malformed() }
    index += 1
    switch bytes[index - 1] {
    case UInt8(ascii: "n"): text.bytes.append(0x0A)
    case UInt8(ascii: "t"): text.bytes.append(0x09)
    case UInt8(ascii: "r"): text.bytes.append(0x0D)
    case UInt8(ascii: "b"): text.bytes.append(0x08)
    case UInt8(ascii: "f"): text.bytes.append(0x0C)
    case let byte where byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "/"):
      text.bytes.append(byte)
    case UInt8(ascii: "u"):
      let unit = try readUnit()
      let place = index
      if unit & 0xFC00 == 0xD800, index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
        bytes[index + 1] == UInt8(ascii: "u")
      {
        index += 2
        let second = try readUnit()
        if second & 0xFC00 == 0xDC00 {
          text.append(0x10000 + (unit & 0x3FF) << 10 + second & 0x3FF)
          return
        }
        index = place
      }
      text.append(unit)
    default: throw Malformed()
    }
  }

  private mutating func readUnit() throws -> UInt32 {
    guard index + 4 <= bytes.count, bytes[index] != UInt8(ascii: "+"), bytes[index] != UInt8(ascii: "-"),
      let unit = UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
    else { throw Malformed() }
    index += 4
    return unit
  }

  private mutating func expect(_ character: Unicode.Scalar) throws {
    guard peek() == UInt8(ascii: character) else { throw Malformed() }
    index += 1
  }
}

extension UInt8 {
  fileprivate var isJSONWord: Bool {
    isDigit(self) || (0x41...0x5A).contains(self & 0xDF) || self == 0x2B || self == 0x2D || self == 0x2E
  }
}

extension JSONScanner {
  /// The names of an object's members, in order, when these bytes begin with one; nil when they do not.
  public static func memberNames(of bytes: [UInt8]) -> [String]? {
    bytes.withUnsafeBufferPointer { bytes in
      var scanner = JSONScanner(bytes)
      var names: [String] = []
      guard scanner.peek() == UInt8(ascii: "{"),
        (try? scanner.readObject({ name, _ in
          names.append(name)
          return false
        })) != nil
      else { return nil }
      return names
    }
  }
}
