import Support

/// A strict reader of one mapping of a configuration: it rejects values of a wrong type and keys that no reader
/// declares.
///
/// ```swift
/// let optimizer = try root.section("optimizer")
/// let rate = try optimizer?.number("learning_rate") ?? 3e-4
/// try root.finish()   // configs/x.yaml:7: unknown key 'optimizer.learning_rte'; did you mean 'learning_rate'?
/// ```
///
/// A key that is absent, or present with the value `null`, reads as nil.
public final class ConfigurationSection {
  /// The dotted name of the section: `optimizer`, `data.train.0`; empty for the whole file.
  public let path: String
  public let location: ConfigurationNode.Location
  /// The keys in the order of the file.
  public let entries: [ConfigurationNode.Entry]

  private let recorded: RecordedConfiguration?
  private var known: Set<String> = []
  private var children: [ConfigurationSection] = []
  private var isFinished = false

  /// - Parameter recorded: the configuration that the run to continue was started with.
  /// - Throws: `ForgeError` (bad input) unless `node` is a mapping or null (a section without keys).
  public init(_ node: ConfigurationNode, path: String = "", recorded: RecordedConfiguration? = nil) throws {
    switch node.value {
    case .mapping(let entries): self.entries = entries
    case .null: self.entries = []
    default:
      let name = path.isEmpty ? "the configuration" : path
      throw ForgeError.badInput(
        "\(node.location): \(name) must be a mapping of keys to values, not \(node.value)", code: .invalidSetting,
        keyPath: path.isEmpty ? nil : path)
    }
    self.path = path
    self.recorded = recorded
    self.location = node.location
  }

  // MARK: Values

  public func boolean(_ key: String) throws -> Bool? {
    try read(key, "true or false") { if case .boolean(let value) = $0 { value } else { nil } }
  }

  /// A whole number; `1e6` is one.
  public func integer(_ key: String) throws -> Int? { try read(key, "a whole number", as: Self.integer) }

  public func number(_ key: String) throws -> Double? { try read(key, "a number", as: Self.number) }

  public func string(_ key: String) throws -> String? { try read(key, "text", as: Self.string) }

  public func integers(_ key: String) throws -> [Int]? { try readList(key, "whole numbers", as: Self.integer) }

  public func numbers(_ key: String) throws -> [Double]? { try readList(key, "numbers", as: Self.number) }

  public func strings(_ key: String) throws -> [String]? { try readList(key, "texts", as: Self.string) }

  /// The raw value, for types without a reader; nil for null. `finish` does not check its own keys.
  public func node(_ key: String) -> ConfigurationNode? {
    known.insert(key)
    guard let node = entry(key)?.node else { return nil }
    if case .null = node.value { return nil }
    return node
  }

  // MARK: Sections

  public func section(_ key: String) throws -> ConfigurationSection? {
    guard let node = node(key) else { return nil }
    let section = try ConfigurationSection(node, path: dotted(key), recorded: recorded)
    children.append(section)
    return section
  }

  /// A list of sections, such as `data.train`.
  public func sections(_ key: String) throws -> [ConfigurationSection]? {
    guard let items = try list(key, "sections") else { return nil }
    let sections = try items.enumerated().map { index, item in
      try ConfigurationSection(item, path: "\(dotted(key)).\(index)", recorded: recorded)
    }
    children += sections
    return sections
  }

  // MARK: Checks

  /// Whether the key is present, with any value or null.
  public func mentions(_ key: String) -> Bool {
    known.insert(key)
    return entry(key) != nil
  }

  /// Whether the key is present with a value other than null. Does not mark the key as known.
  public func contains(_ key: String) -> Bool {
    guard let entry = entry(key) else { return false }
    if case .null = entry.node.value { return false }
    return true
  }

  /// A user's error about `key`, with the line on which it stands (or the section's, when it is absent):
  /// `configs/x.yaml:12: optimizer.learning_rate must be positive`.
  ///
  /// - Parameters:
  ///   - hint: what to do, which stands after the message.
  ///   - joint: what stands between the two.
  public func error(
    _ key: String, _ message: String, hint: String? = nil, after joint: String = "; ",
    code: ForgeError.Code = .invalidSetting
  ) -> ForgeError {
    ForgeError.badInput(
      "\(entry(key)?.location ?? location): \(dotted(key)) \(message)", hint: hint, after: joint, code: code,
      keyPath: dotted(key))
  }

  /// Throws `error` about a value that earlier versions took, unless the run that continues was started with it.
  public func refuse(
    _ key: String, _ message: String, hint: String? = nil, after joint: String = "; ",
    code: ForgeError.Code = .invalidSetting
  ) throws {
    let error = error(key, message, hint: hint, after: joint, code: code)
    guard let recorded, recorded.tolerates(entry(key)?.node, at: dotted(key), error) else { throw error }
  }

  /// Throws for the first unknown key, here or in a subsection: one that was neither read nor is allowed.
  ///
  /// - Parameter alsoAllowed: keys of this section that are accepted without being read.
  public func finish(alsoAllowed: Set<String> = []) throws {
    guard !isFinished else { return }
    let allowed = known.union(alsoAllowed)
    if let unknown = entries.first(where: { !allowed.contains($0.key) }) {
      let hint =
        if let nearest = nearestKey(to: unknown.key, among: allowed) {
          "did you mean '\(nearest)'?"
        } else {
          "the keys here are: \(allowed.sorted().joined(separator: ", "))"
        }
      throw ForgeError.badInput(
        "\(unknown.location): unknown key '\(dotted(unknown.key))'", hint: hint, code: .unknownSetting,
        keyPath: dotted(unknown.key))
    }
    for child in children { try child.finish() }
    isFinished = true
  }

  // MARK: Reading

  private func entry(_ key: String) -> ConfigurationNode.Entry? { entries.first { $0.key == key } }

  private func dotted(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  private func read<T>(
    _ key: String, _ expected: String, as convert: (ConfigurationNode.Value) -> T?
  ) throws -> T? {
    guard let node = node(key) else { return nil }
    guard let value = convert(node.value) else { throw error(key, "must be \(expected), not \(node.value)") }
    return value
  }

  private func readList<T>(
    _ key: String, _ expected: String, as convert: (ConfigurationNode.Value) -> T?
  ) throws -> [T]? {
    try list(key, expected)?.map { item in
      guard let value = convert(item.value) else {
        throw error(key, "must be a list of \(expected), but holds \(item.value)")
      }
      return value
    }
  }

  private func list(_ key: String, _ expected: String) throws -> [ConfigurationNode]? {
    try read(key, "a list of \(expected)") { if case .sequence(let items) = $0 { items } else { nil } }
  }

  private static func integer(_ value: ConfigurationNode.Value) -> Int? {
    switch value {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  private static func number(_ value: ConfigurationNode.Value) -> Double? {
    switch value {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  private static func string(_ value: ConfigurationNode.Value) -> String? {
    if case .string(let value) = value { value } else { nil }
  }
}
