/// The type of a setting's value with its range or cases, as tables, help and the JSON Schema describe it.
public indirect enum SettingForm: Sendable {
  case boolean
  case integer(Bounds<Int>)
  case number(Bounds<Double>)
  case text
  case choice([String])
  /// - Parameter count: nil for any.
  case list(SettingForm, count: Int?)
  /// A list of mappings, each with these settings; it may not be empty.
  case sections([SettingDeclaration])
  /// A mapping whose keys are not declared.
  case mapping
  case either(SettingForm, SettingForm)

  /// The type as in tables; literal names are in backticks.
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

  /// The plural, for the elements of a list.
  private var plural: String {
    let nouns = [Int.noun, Double.noun]
    return nouns.reduce(words) { $0.replacing($1, with: "\($1)s", maxReplacements: 1) }
  }

  /// Validates a value's type, not its range.
  ///
  /// - Throws: `ForgeError` (bad input), located, for a value of another type.
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
