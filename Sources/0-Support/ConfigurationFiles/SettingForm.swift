/// The type of a setting's value, with its range or its cases: what tables, help and the JSON Schema say of it.
public indirect enum SettingForm: Sendable {
  case boolean
  case integer(Bounds<Int>)
  case number(Bounds<Double>)
  case text
  case choice([String])
  /// - Parameter count: nil where it is free.
  case list(SettingForm, count: Int?)
  /// A list of mappings, each with these settings; it may not be empty.
  case sections([SettingDeclaration])
  /// A mapping whose keys are not declared.
  case mapping
  case either(SettingForm, SettingForm)

  /// As tables show it; names that stand in a configuration are in backticks.
  public var words: String {
    switch self {
    case .boolean: "`true` or `false`"
    case .integer(let bounds): bounds.words
    case .number(let bounds): bounds.words
    case .text: "text"
    case .choice(let cases): cases.map { "`\($0)`" }.joined(separator: ", ")
    case .list(let element, let count): "list of \(count.map { "\($0) " } ?? "")\(element.plural)"
    case .sections(let settings): "list of { \(settings.map(\.key).joined(separator: ", ")) }"
    case .mapping: "mapping"
    case .either(let first, let second): "\(first.words) or \(second.words)"
    }
  }

  /// As the elements of a list.
  private var plural: String {
    let nouns = [Int.noun, Double.noun]
    return nouns.reduce(words) { $0.replacing($1, with: "\($1)s", maxReplacements: 1) }
  }

  /// - Throws: `ForgeError` (bad input), located, unless the value is of this type, whatever its range.
  public func checkType(of key: String, in section: ConfigurationSection) throws {
    switch self {
    case .boolean: _ = try section.boolean(key)
    case .integer: _ = try section.integer(key)
    case .number: _ = try section.number(key)
    case .text, .choice: _ = try section.string(key)
    case .list, .sections, .mapping, .either: break
    }
  }
}
