/// The declaration of a setting: its key, type, range, default and one sentence of documentation.
public struct SettingDeclaration: Sendable {
  /// The default, for a key that is left out.
  public enum Default: Sendable {
    case required
    case value(ConfigurationNode.Value)
    /// A default that the program determines, or none, in words.
    case words(String)
  }

  /// The key in its section.
  public let key: String
  public let form: SettingForm
  public let standard: Default
  /// One sentence, with the unit; code in backticks.
  public let summary: String

  public init(_ key: String, _ form: SettingForm, default standard: Default, _ summary: String) {
    self.key = key
    self.form = form
    self.standard = standard
    self.summary = summary
  }

  public var isRequired: Bool { if case .required = standard { true } else { false } }
}

/// The declaration of a section: its settings.
public struct SectionDeclaration: Sendable {
  public let name: String
  public let isRequired: Bool
  public let summary: String
  public internal(set) var settings: [SettingDeclaration] = []
  /// Keys that are accepted and ignored.
  public internal(set) var ignored: [String] = []
  /// A setting that excludes all others but some.
  public internal(set) var exclusive: (key: String, besides: [String])?

  var keys: Set<String> { Set(settings.map(\.key) + ignored) }
}
