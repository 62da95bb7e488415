import ArgumentParser
import ConfigurationFiles
import MPI
import RunConfiguration
import Support

/// The options `--help-config`, which describes the settings instead of a run, and `--json`.
struct SettingsOptions: ParsableArguments {
  private static let everything = ""

  @Option(
    defaultAsFlag: Self.everything,
    help: ArgumentHelp("Describe every setting, those of a section, or one, such as optimizer.betas.", valueName: "key")
  )
  var helpConfig: String?

  @Flag(help: "Print one JSON document: what came of the run, or the error; with --help-config, the JSON Schema.")
  var json = false

  func validate() throws {
    guard json, helpConfig != nil else { return }
    guard helpConfig == Self.everything else {
      throw ValidationError("--json describes all settings; leave '\(helpConfig ?? "")' out")
    }
  }

  /// Prints the requested description of settings on rank 0.
  ///
  /// - Returns: whether one was requested.
  /// - Throws: `ForgeError` for an unknown setting.
  func answer() throws -> Bool {
    guard let helpConfig else { return false }
    let catalog = RunConfiguration.catalog
    let help = SettingsHelp(catalog)
    let text =
      if json { RunConfiguration.schema.text } else if helpConfig == Self.everything { help.text } else {
        try help.text(of: helpConfig)
      }
    if LaunchEnvironment.current.rank == 0 { Printing.text(text) }
    return true
  }
}
