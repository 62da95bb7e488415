import Foundation
import Support

extension ConfigurationNode {
  /// Reads a JSON file, such as a model folder's `config.json`.
  ///
  /// JSON is not quite a subset of YAML (tabs between values, characters beyond U+FFFF as surrogates), so it has a
  /// parser of its own. Like Python's it accepts `NaN`, `Infinity` and `-Infinity`; a byte order mark is dropped.
  /// Integers and numbers (`1` and `1.0`) are distinct, and duplicate keys are rejected.
  ///
  /// - Throws: ``Support/ForgeError`` (bad input) when the file cannot be read or is not JSON; the sentence names the
  ///   file and the line.
  public static func load(json path: String) throws -> ConfigurationNode {
    do {
      return try parse(json: Array(Data(contentsOf: URL(filePath: path))), source: path)
    } catch let error where !(error is ForgeError) {
      throw ForgeError.badInput(
        "cannot read '\(path)': \(systemReason(of: error))", code: .system(error, else: .fileUnreadable))
    }
  }

  /// Parses JSON text; `source` names it in messages.
  public static func parse(json bytes: some Sequence<UInt8>, source: String) throws -> ConfigurationNode {
    var parser = JSONParser(bytes: Array(bytes), source: source)
    return try parser.document()
  }
}

/// A recursive-descent JSON parser (RFC 8259) that tracks line numbers.
private struct JSONParser {
  let bytes: [UInt8]
  let source: String
  private var place = 0
  private var line = 1
  private var depth = 0
  /// The max nesting depth: far beyond any configuration, and well within any stack.
  private static let deepest = 128

  init(bytes: [UInt8], source: String) {
    self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    self.source = source
  }

  mutating func document() throws -> ConfigurationNode {
    let node = try value()
    skipSpace()
    guard place == bytes.count else { throw failure("something follows the end of the value") }
    return node
  }

  private var location: ConfigurationNode.Location { .init(source: source, line: line) }

  private func failure(_ what: String) -> ForgeError {
    .badInput("\(location): not valid JSON: \(what)", code: .malformedFile)
  }

  private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func skipSpace() {
    while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) {
      if byte == 0x0A { line += 1 }
      place += 1
    }
  }

  private mutating func takes(_ character: Character) -> Bool {
    guard next == character.asciiValue else { return false }
    place += 1
    return true
  }

  private mutating func value() throws -> ConfigurationNode {
    skipSpace()
    let start = location
    switch next {
    case UInt8(ascii: "{"): return ConfigurationNode(try nested { try $0.object() }, at: start)
    case UInt8(ascii: "["): return ConfigurationNode(try nested { try $0.array() }, at: start)
    case UInt8(ascii: "\""): return ConfigurationNode(.string(try string()), at: start)
    case nil: throw failure("the text ends where a value is expected")
    default: return ConfigurationNode(try word(), at: start)
    }
  }

  private mutating func nested(
    _ body: (inout JSONParser) throws -> ConfigurationNode.Value
  ) throws -> ConfigurationNode.Value {
    guard depth < Self.deepest else { throw failure("it is nested more than \(Self.deepest) deep") }
    depth += 1
    defer { depth -= 1 }
    place += 1
    return try body(&self)
  }

  private mutating func object() throws -> ConfigurationNode.Value {
    var entries: [ConfigurationNode.Entry] = []
    var keys: Set<String> = []
    skipSpace()
    if takes("}") { return .mapping([]) }
    while true {
      skipSpace()
      let start = location
      guard next == UInt8(ascii: "\"") else { throw failure("a key in double quotes is expected") }
      let key = try string()
      guard keys.insert(key).inserted else {
        throw ForgeError.badInput("\(start): key '\(key)' appears twice in the same mapping", code: .malformedFile)
      }
      skipSpace()
      guard takes(":") else { throw failure("a colon is expected after the key '\(key)'") }
      entries.append(.init(key: key, location: start, node: try value()))
      skipSpace()
      if takes("}") { return .mapping(entries) }
      guard takes(",") else { throw failure("a comma or a closing brace is expected after the value of '\(key)'") }
    }
  }

  private mutating func array() throws -> ConfigurationNode.Value {
    var items: [ConfigurationNode] = []
    skipSpace()
    if takes("]") { return .sequence([]) }
    while true {
      items.append(try value())
      skipSpace()
      if takes("]") { return .sequence(items) }
      guard takes(",") else { throw failure("a comma or a closing bracket is expected in a list") }
    }
  }

  /// Parses a number or a literal name.
  private mutating func word() throws -> ConfigurationNode.Value {
    let start = place
    while let byte = next, !#"{}[]",: "#.utf8.contains(byte), byte > 0x20 { place += 1 }
    let text = String(decoding: bytes[start..<place], as: UTF8.self)
    switch text {
    case "null": return .null
    case "true": return .boolean(true)
    case "false": return .boolean(false)
    case "NaN": return .number(.nan)
    case "Infinity": return .number(.infinity)
    case "-Infinity": return .number(-.infinity)
    default: break
    }
    guard !text.isEmpty, text.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) }),
      text.utf8.last != UInt8(ascii: "."),
      text.utf8.first != UInt8(ascii: "+"), text.utf8.first != UInt8(ascii: ".")
    else { throw failure("'\(text.prefix(40))' is no value") }
    if let integer = Int(text) { return .integer(integer) }
    guard let number = Double(text) else { throw failure("'\(text.prefix(40))' is no number") }
    return .number(number)
  }

  private mutating func string() throws -> String {
    place += 1
    var text: [UInt8] = []
    while true {
      guard let byte = next else { throw failure("a text has no closing quote") }
      place += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else { throw failure("a text is not UTF-8") }
        return string
      case UInt8(ascii: "\\"): text += String(try escape()).utf8
      case 0..<0x20: throw failure("a text holds a line break or another control character")
      default: text.append(byte)
      }
    }
  }

  /// Parses an escape after its backslash. Half of a surrogate pair becomes U+FFFD.
  private mutating func escape() throws -> Unicode.Scalar {
    guard let byte = next else { throw failure("a text has no closing quote") }
    place += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "u"):
      let unit = try hexadecimal()
      guard unit & 0xFC00 == 0xD800, bytes[place...].starts(with: #"\u"#.utf8) else {
        return Unicode.Scalar(unit) ?? "\u{FFFD}"
      }
      let before = place
      place += 2
      let low = try hexadecimal()
      guard low & 0xFC00 == 0xDC00 else {
        place = before
        return "\u{FFFD}"
      }
      return Unicode.Scalar(0x10000 + (unit & 0x3FF) << 10 + low & 0x3FF) ?? "\u{FFFD}"
    default: throw failure("a text holds an unknown escape")
    }
  }

  private mutating func hexadecimal() throws -> UInt32 {
    let digits = bytes[place...].prefix(4)
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let unit = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw failure(#"'\u' needs four hexadecimal digits"#) }
    place += 4
    return unit
  }
}
