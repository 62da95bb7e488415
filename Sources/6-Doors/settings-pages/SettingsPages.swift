import ConfigurationFiles
import Foundation
import RunConfiguration

/// The generator of the settings' documentation: the tables of docs/configuration.md, and configs/run.schema.json.
@main
struct SettingsPages {
  static func main() throws {
    let catalog = RunConfiguration.catalog
    let page = URL(filePath: "docs/configuration.md")
    let updated = try SettingsPage(catalog).updated(String(contentsOf: page, encoding: .utf8))
    try updated.write(to: page, atomically: true, encoding: .utf8)
    try RunConfiguration.schema.text.write(
      to: URL(filePath: "configs/run.schema.json"), atomically: true, encoding: .utf8)
    print("\(catalog.settings.count) settings; settings declared more than once: \(catalog.repeated.count)")
  }
}
