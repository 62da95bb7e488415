/// Strips the backticks around code from documentation, for terminals and editors.
func plainText(_ documentation: String) -> String { documentation.filter { $0 != "`" } }

extension SettingDeclaration.Default {
  /// The default in words; a value as in a configuration.
  var words: String {
    switch self {
    case .required: "required"
    case .value(let value): "`\(Self.spelling(value))`"
    case .words(let words): words
    }
  }

  private static func spelling(_ value: ConfigurationNode.Value) -> String {
    switch value {
    case .string(let text): text
    case .sequence(let items): "[\(items.map { spelling($0.value) }.joined(separator: ", "))]"
    default: value.description
    }
  }
}
