import Foundation
import Support
import Yams

extension ConfigurationNode {
  /// Reads a YAML or JSON file.
  ///
  /// - Throws: ``Support/ForgeError`` (bad input) when the file cannot be read or is not valid YAML; the sentence
  ///   names the file and the line.
  public static func load(path: String) throws -> ConfigurationNode {
    guard let file = fopen(path, "r") else { throw unreadable(path, errno) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { break }
      bytes.append(contentsOf: buffer[..<count])
    }
    guard ferror(file) == 0 else { throw unreadable(path, errno) }  // a folder opens, but cannot be read
    guard let text = MarkedText.utf8(bytes).flatMap({ String(validating: $0, as: UTF8.self) }) else {
      throw ForgeError.badInput("the configuration '\(path)' is not UTF-8 text", code: .malformedFile)
    }
    return try parse(text, source: path)
  }

  /// Parses YAML or JSON text, without a leading byte order mark; `source` names it in messages.
  public static func parse(_ text: String, source: String) throws -> ConfigurationNode {
    do {
      let mark: Unicode.Scalar = "\u{FEFF}"
      let text = text.unicodeScalars.first == mark ? String(text.unicodeScalars.dropFirst()) : text
      guard let root = try Yams.compose(yaml: text) else {
        return ConfigurationNode(.null, at: Location(source: source, line: 1))
      }
      var room = maxValues
      return try ConfigurationNode(root, source: source, room: &room)
    } catch let error as YamlError {
      throw ForgeError.badInput(explain(error, source: source), code: .malformedFile)
    }
  }

  /// The max values of a file: aliases of aliases could expand a few lines beyond the memory.
  private static let maxValues = 1 << 20

  /// - Parameter room: how many more values are allowed.
  private init(_ node: Node, source: String, room: inout Int) throws {
    let location = Location(source: source, line: node.mark?.line)
    room -= 1
    guard room >= 0 else {
      throw ForgeError.badInput(
        "\(location): there are more than \(Self.maxValues) values, counting what aliases stand for",
        code: .malformedFile)
    }
    switch node {
    case .scalar(let scalar):
      let isPlain = scalar.style == .plain || scalar.style == .any
      self.init(
        isPlain ? Self.resolve(scalar.string) : .string(scalar.string), at: location,
        spelling: isPlain ? scalar.string : nil)
    case .sequence(let sequence):
      var items: [ConfigurationNode] = []
      for item in sequence { items.append(try ConfigurationNode(item, source: source, room: &room)) }
      self.init(.sequence(items), at: location)
    case .mapping(let mapping):
      var entries: [Entry] = []
      var keys: Set<String> = []
      for (key, value) in mapping {
        let keyLocation = Location(source: source, line: key.mark?.line ?? location.line)
        guard case .scalar(let scalar) = key else {
          throw ForgeError.badInput("\(keyLocation): a key must be plain text", code: .malformedFile)
        }
        guard keys.insert(scalar.string).inserted else {
          throw ForgeError.badInput(
            "\(keyLocation): key '\(scalar.string)' appears twice in the same mapping", code: .malformedFile)
        }
        let node = try ConfigurationNode(value, source: source, room: &room)
        entries.append(Entry(key: scalar.string, location: keyLocation, node: node))
      }
      self.init(.mapping(entries), at: location)
    case .alias(let alias):
      throw ForgeError.badInput(
        "\(location): the alias '*\(alias.anchor.rawValue)' cannot be resolved", code: .malformedFile)
    }
  }

  /// Resolves an unquoted scalar by YAML 1.2's core schema, a superset of JSON's: `1e-05` is a number (YAML 1.1
  /// requires a point in it) and `no` is text.
  static func resolve(_ text: String) -> Value {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .boolean(true)
    case "false", "False", "FALSE": return .boolean(false)
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .number(.infinity)
    case "-.inf", "-.Inf", "-.INF": return .number(-.infinity)
    case ".nan", ".NaN", ".NAN": return .number(.nan)
    default: break
    }
    if text.hasPrefix("0x"), let integer = Int(text.dropFirst(2), radix: 16) { return .integer(integer) }
    if text.hasPrefix("0o"), let integer = Int(text.dropFirst(2), radix: 8) { return .integer(integer) }
    if let integer = Int(text) { return .integer(integer) }
    // Double's own parser also accepts `nan`, `inf` and hexadecimal, which are text in YAML.
    let looksNumeric = text.utf8.allSatisfy { "0123456789+-.eE".utf8.contains($0) }
    if looksNumeric, let number = Double(text) { return .number(number) }
    return .string(text)
  }

  private static func unreadable(_ path: String, _ code: Int32) -> ForgeError {
    ForgeError.badInput(
      "cannot read the configuration '\(path)': \(String(cString: strerror(code)))",
      code: .system(code, else: .fileUnreadable))
  }

  /// One sentence without the source excerpt that Yams appends.
  private static func explain(_ error: YamlError, source: String) -> String {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      "\(source):\(mark.line): not valid YAML: \(problem)"
    case .duplicatedKeysInMapping(let keys, let context):
      "\(source):\(context.mark.line): key '\(keys.first ?? "")' appears twice in the same mapping"
    case .reader(let problem, _, _, _):
      "\(source): not valid YAML: \(problem)"
    default:
      "\(source): not valid YAML: \(error)"
    }
  }
}
