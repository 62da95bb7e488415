/// A node of a parsed configuration file: a value with its source location.
///
/// YAML and JSON parse to the same tree, so one code reads a Hugging Face `config.json` and the `model:` section of a
/// run's configuration. Mappings keep the order of the file.
public struct ConfigurationNode: Sendable {
  public enum Value: Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case sequence([ConfigurationNode])
    case mapping([Entry])
  }

  /// One `key: value` of a mapping.
  public struct Entry: Sendable {
    public var key: String
    /// The location of the key (a long value may begin on a later line).
    public var location: Location
    public var node: ConfigurationNode

    public init(key: String, location: Location, node: ConfigurationNode) {
      self.key = key
      self.location = location
      self.node = node
    }
  }

  /// A source location: a line of a file, or an override on the command line (which has no lines).
  public struct Location: Sendable, Equatable, CustomStringConvertible {
    public var source: String
    /// Counted from 1.
    public var line: Int?

    public init(source: String, line: Int? = nil) {
      self.source = source
      self.line = line
    }

    public var description: String {
      if let line { "\(source):\(line)" } else { source }
    }
  }

  public var value: Value
  public var location: Location
  /// The original spelling of an unquoted YAML scalar, for settings that expect text.
  public let spelling: String?

  public init(_ value: Value, at location: Location, spelling: String? = nil) {
    self.value = value
    self.location = location
    self.spelling = spelling
  }

  /// The value of `key`; nil when it is absent or this is not a mapping.
  public subscript(key: String) -> ConfigurationNode? { entry(key)?.node }

  /// The entry of `key`; nil when it is absent or this is not a mapping.
  public func entry(_ key: String) -> Entry? {
    guard case .mapping(let entries) = value else { return nil }
    return entries.first { $0.key == key }
  }
}

extension ConfigurationNode: Equatable {
  /// Compares values, not locations. An integer and a number differ (`1` and `1.0`).
  public static func == (left: ConfigurationNode, right: ConfigurationNode) -> Bool {
    switch (left.value, right.value) {
    case (.null, .null): true
    case (.boolean(let left), .boolean(let right)): left == right
    case (.integer(let left), .integer(let right)): left == right
    case (.number(let left), .number(let right)): left == right || (left.isNaN && right.isNaN)
    case (.string(let left), .string(let right)): left == right
    case (.sequence(let left), .sequence(let right)): left == right
    case (.mapping(let left), .mapping(let right)):
      left.elementsEqual(right) { $0.key == $1.key && $0.node == $1.node }
    default: false
    }
  }
}

extension ConfigurationNode.Value: CustomStringConvertible {
  /// The value in messages: `'abc'`, `3`, `a list`.
  public var description: String {
    switch self {
    case .null: "null"
    case .boolean(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): "'\(value)'"
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }
}
