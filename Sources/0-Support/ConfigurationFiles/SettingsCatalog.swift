import Support

/// The catalog of a program's declared settings, section by section.
public struct SettingsCatalog: Sendable {
  public let sections: [SectionDeclaration]

  /// - Parameter read: reads a whole configuration, and so declares its settings.
  public init(of read: (SettingsReader) throws -> Void) { sections = SettingsReader.sections(of: read) }

  /// Every setting by its dotted key, in order of declaration; `N` is any index: `data.train.N.path`.
  public var settings: [(key: String, declaration: SettingDeclaration)] {
    sections.flatMap { section in
      section.settings.flatMap { Self.flattened($0, below: section.name) }
    }
  }

  static func flattened(
    _ setting: SettingDeclaration, below section: String
  ) -> [(key: String, declaration: SettingDeclaration)] {
    let key = "\(section).\(setting.key)"
    guard case .sections(let settings) = setting.form else { return [(key, setting)] }
    return [(key, setting)] + settings.flatMap { flattened($0, below: "\(key).N") }
  }

  /// Dotted keys that are declared more than once.
  public var repeated: [String] {
    Dictionary(grouping: settings.map(\.key) + sections.map(\.name)) { $0 }.filter { $0.value.count > 1 }.keys.sorted()
  }

  /// Validates the keys of a configuration before any value is read, so that a misspelt key is reported as such and not
  /// as a missing one.
  ///
  /// - Throws: `ForgeError` (bad input), located, for the first key that is not declared, with a suggestion.
  public func checkKeys(of root: ConfigurationSection) throws {
    try root.finish(alsoAllowed: Set(sections.map(\.name)))
    for declared in sections {
      guard let section = try root.section(declared.name) else { continue }
      try section.finish(alsoAllowed: declared.keys)
      guard let exclusive = declared.exclusive, section.contains(exclusive.key) else { continue }
      let allowed = [exclusive.key] + exclusive.besides
      if let other = section.entries.first(where: { !allowed.contains($0.key) }) {
        throw section.error(
          other.key,
          "cannot stand beside \(declared.name).\(exclusive.key)",
          hint: "only \(exclusive.besides.joined(separator: ", ")) can", code: .conflictingSettings
        )
      }
    }
  }
}
