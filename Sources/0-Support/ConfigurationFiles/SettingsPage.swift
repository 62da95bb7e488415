import Support

/// The generated tables of a documentation page. Each is between two comments; the text around them is written by hand:
///
/// ```
/// <!-- settings: optimizer -->
/// <!-- end of settings -->
/// ```
public struct SettingsPage {
  private let catalog: SettingsCatalog

  public init(_ catalog: SettingsCatalog) { self.catalog = catalog }

  private static let end = "<!-- end of settings -->"

  private static func beginning(_ section: String) -> String { "<!-- settings: \(section) -->" }

  /// Regenerates the tables of a page from the declarations.
  ///
  /// - Throws: `ForgeError` (bad input) when a section has no place on the page or more than one, or when the page has
  ///   a place for an unknown section.
  public func updated(_ page: String) throws -> String {
    var sections = catalog.sections
    var lines: [String] = []
    var isInside = false
    for line in page.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line == Self.end {
        guard isInside else {
          throw ForgeError.badInput("the page has '\(line)' without a beginning", code: .malformedFile)
        }
        isInside = false
      }
      if !isInside { lines.append(line) }
      guard line.hasPrefix("<!-- settings: ") else { continue }
      guard !isInside, let index = sections.firstIndex(where: { line == Self.beginning($0.name) }) else {
        throw ForgeError.badInput("the page has no place, or a second one, for '\(line)'", code: .malformedFile)
      }
      lines += table(of: sections.remove(at: index))
      isInside = true
    }
    guard !isInside else {
      throw ForgeError.badInput("the page has no '\(Self.end)' after a table", code: .malformedFile)
    }
    if let missing = sections.first {
      throw ForgeError.badInput(
        "the page has no '\(Self.beginning(missing.name))' for that section's table", code: .malformedFile)
    }
    return lines.joined(separator: "\n")
  }

  private func table(of section: SectionDeclaration) -> [String] {
    let rows = section.settings.flatMap { SettingsCatalog.flattened($0, below: section.name) }.map { key, setting in
      let cells = ["`\(key)`", setting.form.words, setting.standard.words, setting.summary]
      return "| \(cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ")) |"
    }
    let header = ["| key | type | default | meaning |", "|---|---|---|---|"]
    let remarks = section.remarks.flatMap { ["", $0] }
    return [section.isRequired ? "Required. \(section.summary)" : section.summary, ""] + header + rows + remarks
  }
}

extension SectionDeclaration {
  /// Remarks after a section's settings, with code in backticks.
  var remarks: [String] {
    func list(_ keys: [String]) -> String { keys.map { "`\($0)`" }.joined(separator: ", ") }
    let beside = exclusive.map { "Beside `\($0.key)` there may only be \(list($0.besides))." }
    let alone = ignored.isEmpty ? nil : "Accepted and ignored: \(list(ignored))."
    return [beside, alone].compactMap(\.self)
  }
}
