import Support

/// The help text of the declared settings, for a terminal.
public struct SettingsHelp {
  private let catalog: SettingsCatalog
  private let width = 80

  public init(_ catalog: SettingsCatalog) { self.catalog = catalog }

  /// The help of all sections.
  public var text: String { catalog.sections.map(text(of:)).joined(separator: "\n") }

  /// The help of a section, or of one setting by its dotted key, with any index for `N`: `data.train.0.weight`.
  ///
  /// - Throws: `ForgeError` (bad input), with a suggestion, when there is none.
  public func text(of key: String) throws -> String {
    if let section = catalog.sections.first(where: { $0.name == key }) { return text(of: section) }
    let wanted = key.split(separator: ".").map { Int($0) == nil ? String($0) : "N" }.joined(separator: ".")
    if let setting = catalog.settings.first(where: { $0.key == wanted }) {
      return lines(of: setting.key, setting.declaration).joined(separator: "\n") + "\n"
    }
    let names = catalog.sections.map(\.name)
    let nearest = nearestKey(to: key, among: names + catalog.settings.map(\.key))
    let hint = nearest.map { "did you mean '\($0)'?" } ?? "the sections are: \(names.joined(separator: ", "))"
    throw ForgeError.badInput("there is no setting '\(key)'", hint: hint, code: .unknownSetting, keyPath: key)
  }

  private func text(of section: SectionDeclaration) -> String {
    let title = "\(section.name)\(section.isRequired ? " (required)" : ""): \(plainText(section.summary))"
    let settings = section.settings.flatMap { SettingsCatalog.flattened($0, below: section.name) }
    var lines = wrapped(title, indent: 0)
    for (key, setting) in settings { lines += [""] + self.lines(of: key, setting, indent: 2) }
    for remark in section.remarks { lines += [""] + wrapped(plainText(remark), indent: 2) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func lines(of key: String, _ setting: SettingDeclaration, indent: Int = 0) -> [String] {
    let standard =
      switch setting.standard {
      case .required: "required"
      default: "default: \(plainText(setting.standard.words))"
      }
    return wrapped("\(key)  (\(plainText(setting.form.words)); \(standard))", indent: indent)
      + wrapped(plainText(setting.summary), indent: indent + 4)
  }

  /// Wraps text to lines of the width, each indented by `indent` spaces.
  private func wrapped(_ text: String, indent: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
      if !line.isEmpty, indent + line.count + 1 + word.count > width {
        lines.append(line)
        line = String(word)
      } else {
        line += line.isEmpty ? String(word) : " \(word)"
      }
    }
    return (lines + [line]).map { String(repeating: " ", count: indent) + $0 }
  }
}
