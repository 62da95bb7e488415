import ArgumentParser
import Commands

struct RunsCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs",
    abstract: "List the runs in a folder: state, step, loss, speed, and when each was last seen.",
    discussion: """
      Only the ends of files are read. A run is 'running' while its job gives signs of life; 'stopped' when it ended in \
      good order before its last step, and 'failed' when it did not (see 'forge why'). Those seen last come first. \
      --json prints an array, with times as ISO 8601.

      EXAMPLES
        forge runs
        forge runs /shared/runs --json
      """)

  @Argument(help: "The folder that holds run directories, or one run directory.")
  var folder = "runs"

  @OptionGroup
  var output: OutputOptions

  func request() -> ListRuns { ListRuns(folder: folder) }
}
