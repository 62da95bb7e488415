import ArgumentParser
import Commands

struct CheckpointListCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List a run's checkpoints: step, time, size and validation loss.",
    discussion: "Manifests and the lengths of files are checked, their contents are not: see 'forge checkpoint verify'."
  )

  @Argument(help: ArgumentHelp("A run directory or its checkpoints folder.", valueName: "run-directory"))
  var source: String

  @OptionGroup
  var output: OutputOptions

  func request() -> ListCheckpoints { ListCheckpoints(directory: source) }
}
