/// A JSON value (RFC 8259): keys in the order of the file, strings byte for byte.
///
/// Foundation's parsers are not suitable for a vocabulary. Of a duplicate key `JSONDecoder` takes the first value and
/// `JSONSerialization` the last, without an error, and both keep keys in dictionaries of `String`, in which two tokens
/// that differ only in Unicode normalisation are equal.
enum JSON: Sendable {
  case null
  case boolean(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  struct Member: Sendable {
    var key: String
    var value: JSON
  }

  /// Why a text is malformed, as the continuation of a file's name and a colon.
  struct Malformed: Error {
    var reason: String

    init(_ reason: String) { self.reason = reason }
  }

  /// Parses a text in UTF-8, without its byte order mark.
  ///
  /// - Parameter asPython: whether to accept `NaN`, `Infinity` and numbers too large for fp64, as Python's parser does.
  /// - Throws: `Malformed` when it is not JSON, an object has a duplicate key, or values are nested too deeply.
  init(_ text: [UInt8], asPython: Bool = false) throws(Malformed) {
    let start = Self.start(of: text)
    guard String(validating: text[start...], as: UTF8.self) != nil else { throw Malformed("it is not UTF-8 text") }
    var parser = JSONParser(text: text, position: start, asPython: asPython)
    self = try parser.document()
  }

  private static func start(of text: [UInt8]) -> Int {
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    return text.starts(with: mark) ? mark.count : 0
  }

  /// The position of a member of the outermost object in its text.
  struct Places {
    /// After the opening brace.
    var start = 0
    /// The range of the value; nil when there is no such key.
    var value: Range<Int>?
    var isEmpty = true

    init(of key: String, in text: [UInt8]) throws(Malformed) {
      var parser = JSONParser(text: text, position: JSON.start(of: text), asPython: true)
      self = try parser.places(of: key, self)
    }
  }
}

/// The recursive-descent parser behind `JSON`.
private struct JSONParser {
  let text: [UInt8]
  var position: Int
  private let asPython: Bool
  private var depth = 0
  /// The limit of serde_json, with which `tokenizers` parses.
  private static let deepest = 128

  init(text: [UInt8], position: Int, asPython: Bool) {
    self.text = text
    self.position = position
    self.asPython = asPython
  }

  mutating func document() throws(JSON.Malformed) -> JSON {
    let value = try value()
    skipSpace()
    guard position == text.count else { throw malformed("something follows the end of the value") }
    return value
  }

  mutating func places(of key: String, _ empty: JSON.Places) throws(JSON.Malformed) -> JSON.Places {
    var places = empty
    guard take("{") else { throw JSON.Malformed("it is not an object") }
    places.start = position
    if take("}") { return places }
    places.isEmpty = false
    repeat {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw malformed("a key is missing") }
      let found = try string()
      guard take(":") else { throw malformed("there is no ':' after a key") }
      skipSpace()
      let start = position
      _ = try value()
      if found.utf8.elementsEqual(key.utf8) { places.value = start..<position }
    } while take(",")
    return places
  }

  // MARK: Values

  private mutating func value() throws(JSON.Malformed) -> JSON {
    skipSpace()
    guard let byte = peek else { throw malformed("the text ends too early") }
    switch byte {
    case UInt8(ascii: "{"): return try nested { parser throws(JSON.Malformed) in try parser.object() }
    case UInt8(ascii: "["): return try nested { parser throws(JSON.Malformed) in try parser.array() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: break
    }
    var words = [("null", JSON.null), ("true", .boolean(true)), ("false", .boolean(false))]
    if asPython { words += [("NaN", .number(.nan)), ("Infinity", .number(.infinity))] }
    for (word, value) in words where text[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw malformed("a value is missing")
  }

  private mutating func nested(
    _ parse: (inout JSONParser) throws(JSON.Malformed) -> JSON
  ) throws(JSON.Malformed) -> JSON {
    guard depth < Self.deepest else { throw malformed("values are nested more than \(Self.deepest) deep") }
    depth += 1
    position += 1
    let value = try parse(&self)
    depth -= 1
    return value
  }

  private mutating func object() throws(JSON.Malformed) -> JSON {
    var members: [JSON.Member] = []
    var keys = KeySet()
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw malformed("a key is missing") }
      let key = try string()
      guard keys.insert(key, after: members) else {
        throw malformed("the key \(shown(key)) stands twice in one object")
      }
      guard take(":") else { throw malformed("there is no ':' after a key") }
      members.append(JSON.Member(key: key, value: try value()))
    } while take(",")
    guard take("}") else { throw malformed("a ',' or '}' is missing") }
    return .object(members)
  }

  private mutating func array() throws(JSON.Malformed) -> JSON {
    var values: [JSON] = []
    if take("]") { return .array(values) }
    repeat { values.append(try value()) } while take(",")
    guard take("]") else { throw malformed("a ',' or ']' is missing") }
    return .array(values)
  }

  private mutating func number() throws(JSON.Malformed) -> JSON {
    let start = position
    func digits() -> Bool {
      let first = position
      while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
      return position > first
    }
    if peek == UInt8(ascii: "-") { position += 1 }
    if asPython, text[position...].starts(with: "Infinity".utf8) {
      position += "Infinity".utf8.count
      return .number(-.infinity)
    }
    let isZero = peek == UInt8(ascii: "0")
    if isZero { position += 1 }
    guard isZero || digits() else { throw malformed("a number has no digits") }
    var isInteger = true
    if peek == UInt8(ascii: ".") {
      position += 1
      isInteger = false
      guard digits() else { throw malformed("a number has no digits after its point") }
    }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      position += 1
      isInteger = false
      if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
      guard digits() else { throw malformed("a number has no digits in its exponent") }
    }
    let literal = String(decoding: text[start..<position], as: UTF8.self)
    if isInteger, let integer = Int(literal) { return .integer(integer) }
    guard let number = Double(literal), asPython || number.isFinite else { throw malformed("a number is too large") }
    return .number(number)
  }

  // MARK: Strings

  private mutating func string() throws(JSON.Malformed) -> String {
    position += 1
    let start = position
    while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
    if peek == UInt8(ascii: "\"") {
      position += 1
      return String(decoding: text[start..<position - 1], as: UTF8.self)
    }
    var bytes = Array(text[start..<position])
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
      case UInt8(ascii: "\\"): bytes += try escape()
      case ..<0x20: throw malformed("a string has a control character")
      default: bytes.append(byte)
      }
    }
    throw malformed("a string has no end")
  }

  /// Parses an escape after its backslash; returns its UTF-8.
  private mutating func escape() throws(JSON.Malformed) -> [UInt8] {
    guard let byte = peek else { throw malformed("a string has no end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"): break
    default: throw malformed("a string has an unknown escape")
    }
    var value = try hexadecimal()
    if (0xD800..<0xDC00).contains(value), text[position...].starts(with: "\\u".utf8) {
      position += 2
      let low = try hexadecimal()
      guard (0xDC00..<0xE000).contains(low) else { throw malformed("a string has half of a surrogate pair") }
      value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw malformed("a string has half of a surrogate pair") }
    return Array(String(scalar).utf8)
  }

  private mutating func hexadecimal() throws(JSON.Malformed) -> UInt32 {
    let digits = text[position...].prefix(4)
    let isHexadecimal = digits.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
    guard digits.count == 4, isHexadecimal, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw malformed("a string has a \\u without four hexadecimal digits") }
    position += 4
    return value
  }

  // MARK: Bytes

  private var peek: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private func malformed(_ reason: String) -> JSON.Malformed {
    JSON.Malformed("line \(1 + text[..<position].count { $0 == 0x0A }): \(reason)")
  }
}

/// The keys of an object so far: compared one by one while they are few, in a set when they are many.
private struct KeySet {
  private static let few = 16
  private var set: Set<[UInt8]> = []

  /// Returns false when the key is already there.
  mutating func insert(_ key: String, after members: [JSON.Member]) -> Bool {
    if members.count < Self.few { return !members.contains { $0.key.utf8.elementsEqual(key.utf8) } }
    if set.isEmpty { set = Set(members.map { Array($0.key.utf8) }) }
    return set.insert(Array(key.utf8)).inserted
  }
}

// MARK: Reading members

extension JSON {
  /// An object whose members are read by name and type, with its path in the file for messages.
  struct Object {
    var members: [Member]
    /// A path such as `model.vocab`; empty at the top.
    var place: String

    /// The value of `key`; nil when it is missing or null.
    subscript(key: String) -> JSON? {
      guard let value = members.first(where: { $0.key == key })?.value else { return nil }
      if case .null = value { return nil }
      return value
    }

    func string(_ key: String) throws(Malformed) -> String? {
      guard let value = self[key] else { return nil }
      guard case .string(let text) = value else { throw wrongType(key) }
      return text
    }

    func boolean(_ key: String) throws(Malformed) -> Bool? {
      guard let value = self[key] else { return nil }
      guard case .boolean(let flag) = value else { throw wrongType(key) }
      return flag
    }

    func number(_ key: String) throws(Malformed) -> Double? {
      switch self[key] {
      case nil: return nil
      case .integer(let value): return Double(value)
      case .number(let value): return value
      default: throw wrongType(key)
      }
    }

    func object(_ key: String) throws(Malformed) -> Object? {
      guard let value = self[key] else { return nil }
      return try value.object(at: path(key))
    }

    func array(_ key: String) throws(Malformed) -> [JSON]? {
      guard let value = self[key] else { return nil }
      guard case .array(let values) = value else { throw wrongType(key) }
      return values
    }

    func objects(_ key: String) throws(Malformed) -> [Object]? {
      guard let values = try array(key) else { return nil }
      var objects: [Object] = []
      for (index, value) in values.enumerated() { objects.append(try value.object(at: "\(path(key)).\(index)")) }
      return objects
    }

    /// Unwraps the value of a required key.
    func required<Value>(_ key: String, _ value: Value?) throws(Malformed) -> Value {
      guard let value else {
        throw Malformed(place.isEmpty ? "it has no '\(key)'" : "\(shown(place)) has no '\(key)'")
      }
      return value
    }

    func path(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

    func wrongType(_ key: String) -> Malformed { Malformed("\(shown(path(key))) has the wrong type") }
  }

  /// This value as an object; `place` is its path.
  func object(at place: String = "") throws(Malformed) -> Object {
    guard case .object(let members) = self else {
      throw Malformed(place.isEmpty ? "it is not an object" : "\(shown(place)) has the wrong type")
    }
    return Object(members: members, place: place)
  }
}
