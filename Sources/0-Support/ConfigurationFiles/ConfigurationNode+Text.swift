extension ConfigurationNode {
  /// The value where text is expected: a number or a boolean becomes its original spelling, `4711` or `007`. Null stays
  /// null.
  func asText() -> ConfigurationNode {
    guard let spelling else { return self }
    switch value {
    case .boolean, .integer, .number: return ConfigurationNode(.string(spelling), at: location)
    case .null, .string, .sequence, .mapping: return self
    }
  }

  fileprivate func mapping(_ key: String, _ change: (ConfigurationNode) -> ConfigurationNode) -> ConfigurationNode {
    guard case .mapping(var entries) = value, let index = entries.firstIndex(where: { $0.key == key }) else {
      return self
    }
    entries[index].node = change(entries[index].node)
    return ConfigurationNode(.mapping(entries), at: location)
  }

  fileprivate func withText(_ settings: [SettingDeclaration]) -> ConfigurationNode {
    settings.reduce(self) { node, setting in
      node.mapping(setting.key) { $0.withText(setting.form) }
    }
  }

  private func withText(_ form: SettingForm) -> ConfigurationNode {
    switch form {
    case .text: asText()
    case .list(.text, count: _): elements { $0.asText() }
    case .sections(let settings): elements { $0.withText(settings) }
    default: self
    }
  }

  private func elements(_ change: (ConfigurationNode) -> ConfigurationNode) -> ConfigurationNode {
    guard case .sequence(let items) = value else { return self }
    return ConfigurationNode(.sequence(items.map(change)), at: location)
  }
}

extension SettingsCatalog {
  /// Converts every value that is declared as text to text.
  public func withText(_ root: ConfigurationNode) -> ConfigurationNode {
    sections.reduce(root) { node, section in
      node.mapping(section.name) { $0.withText(section.settings) }
    }
  }
}
