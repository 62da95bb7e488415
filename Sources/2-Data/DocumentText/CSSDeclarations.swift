/// A parser of the declarations in a `style` attribute (CSS Syntax, https://www.w3.org/TR/css-syntax-3/). Comments,
/// strings, brackets and escapes follow the standard; invalid declarations are skipped.
struct CSSDeclarations: Sequence, IteratorProtocol {
  struct Declaration {
    /// In lower case.
    var name: String
    var value: [Part]
    var isImportant: Bool

    /// The identifiers of a value that consists of nothing else; nil for other values.
    var words: [String]? {
      var words: [String] = []
      for part in value {
        guard case .word(let word) = part else { return nil }
        words.append(word)
      }
      return words
    }
  }

  /// A component of a value.
  enum Part: Equatable {
    /// An identifier in lower case.
    case word(String)
    /// `var(…)` or `env(…)`, which may stand for anything.
    case variable
    /// A number, a string, a function, a sign.
    case other
  }

  private enum Token {
    case identifier(String)
    case function(String)
    case colon, semicolon, exclamation, open, close, space, other, newlineInString
  }

  private let bytes: UnsafeBufferPointer<UInt8>
  private var index = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  mutating func next() -> Declaration? {
    while let first = token() {
      switch first {
      case .space, .semicolon: continue
      case .identifier(let name): if let declaration = declaration(named: name) { return declaration }
      default:
        var depth = Self.change(of: first)
        while let token = token() {
          if case .semicolon = token, depth == 0 { break }
          depth = Swift.max(0, depth + Self.change(of: token))
        }
      }
    }
    return nil
  }

  /// Parses what follows a name, up to its semicolon; nil when it is no valid declaration.
  private mutating func declaration(named name: String) -> Declaration? {
    var value: [Part] = []
    var hasColon = false
    var isValid = true
    // How much of `!important` has been read: 1 after `!`, 2 after both.
    var important = 0
    var depth = 0
    while let token = token() {
      if case .semicolon = token, depth == 0 { break }
      if case .space = token { continue }
      let isOutside = depth == 0
      depth = Swift.max(0, depth + Self.change(of: token))
      if case .newlineInString = token { isValid = false }
      guard isOutside, isValid else { continue }
      guard hasColon else {
        if case .colon = token { hasColon = true } else { isValid = false }
        continue
      }
      switch token {
      case .exclamation:
        isValid = important == 0
        important = 1
      case .identifier("important") where important == 1: important = 2
      case _ where important > 0: isValid = false
      case .identifier(let word): value.append(.word(word))
      case .function(let name): value.append(name == "var" || name == "env" ? .variable : .other)
      case .close: isValid = false
      default: value.append(.other)
      }
    }
    guard hasColon, isValid, important != 1 else { return nil }
    return Declaration(name: name, value: value, isImportant: important == 2)
  }

  private static func change(of token: Token) -> Int {
    switch token {
    case .open, .function: 1
    case .close: -1
    default: 0
    }
  }

  private mutating func token() -> Token? {
    while startsComment { skipComment() }
    guard index < bytes.count else { return nil }
    let byte = bytes[index]
    if isWhitespace(byte) {
      while index < bytes.count, isWhitespace(bytes[index]) { index += 1 }
      return .space
    }
    if startsIdentifier { return identifier() }
    index += 1
    switch byte {
    case UInt8(ascii: ":"): return .colon
    case UInt8(ascii: ";"): return .semicolon
    case UInt8(ascii: "!"): return .exclamation
    case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): return .open
    case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): return .close
    case UInt8(ascii: "\""), UInt8(ascii: "'"): return string(endingWith: byte)
    case _ where isDigit(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "#"):
      // A number and its unit, or a colour.
      while index < bytes.count, Self.isNameByte(bytes[index]) || bytes[index] == UInt8(ascii: ".") { index += 1 }
      return .other
    default: return .other
    }
  }

  private var startsComment: Bool {
    index + 1 < bytes.count && bytes[index] == UInt8(ascii: "/") && bytes[index + 1] == UInt8(ascii: "*")
  }

  private mutating func skipComment() {
    index += 2
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "*"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "/") {
        index += 2
        return
      }
      index += 1
    }
  }

  private var startsIdentifier: Bool {
    var place = index
    if bytes[place] == UInt8(ascii: "-") { place += 1 }
    guard place < bytes.count else { return false }
    if bytes[place] == UInt8(ascii: "\\") { return place + 1 < bytes.count && !Self.isLineEnd(bytes[place + 1]) }
    return bytes[place] == UInt8(ascii: "-") && place > index
      || Self.isNameByte(bytes[place]) && !isDigit(bytes[place])
        && bytes[place] != UInt8(ascii: "-")
  }

  private mutating func identifier() -> Token {
    var name: [UInt8] = []
    while index < bytes.count {
      let byte = bytes[index]
      if Self.isNameByte(byte) {
        name.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
        index += 1
      } else if byte == UInt8(ascii: "\\"), index + 1 < bytes.count, !Self.isLineEnd(bytes[index + 1]) {
        index += 1
        name += escaped()
      } else {
        break
      }
    }
    let text = String(decoding: name, as: UTF8.self)
    guard index < bytes.count, bytes[index] == UInt8(ascii: "(") else { return .identifier(text) }
    index += 1
    guard text == "url" else { return .function(text) }
    while index < bytes.count, isWhitespace(bytes[index]) { index += 1 }
    guard index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "'") else {
      return .function(text)
    }
    // An unquoted URL.
    while index < bytes.count, bytes[index] != UInt8(ascii: ")") { index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1 }
    index = Swift.min(index + 1, bytes.count)
    return .other
  }

  /// Decodes the escape after a backslash to its character in lower case, as UTF-8.
  private mutating func escaped() -> [UInt8] {
    let digits = bytes[index...].prefix(6).prefix { isDigit($0) || (0x61...0x66).contains($0 | 0x20) }
    guard !digits.isEmpty else {
      index += 1
      let byte = bytes[index - 1]
      return [(0x41...0x5A).contains(byte) ? byte | 0x20 : byte]
    }
    index += digits.count
    if index < bytes.count, isWhitespace(bytes[index]) { index += 1 }
    var text = DecodedText()
    text.append(UInt32(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0)
    return Array(String(decoding: text.bytes, as: UTF8.self).lowercased().utf8)
  }

  private mutating func string(endingWith quote: UInt8) -> Token {
    while index < bytes.count {
      let byte = bytes[index]
      if Self.isLineEnd(byte) { return .newlineInString }
      index += byte == UInt8(ascii: "\\") ? 2 : 1
      if byte == quote { return .other }
    }
    index = bytes.count
    return .other
  }

  private static func isLineEnd(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0C || byte == 0x0D }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
      || byte >= 0x80
  }
}
