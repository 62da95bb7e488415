import ArgumentParser
import Commands
import Foundation

struct CheckpointPruneCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune", abstract: "Delete all checkpoints of a run but those that are to be kept.",
    discussion: """
      Refused (exit code 75) while a job is writing to the run. Nothing is deleted before one of the newest that stay was
      read back and found sound.
      """)

  @Argument(help: ArgumentHelp("A run directory or its checkpoints folder.", valueName: "run-directory"))
  var source: String

  @Option(help: "How many of the newest stay.")
  var keepLast = 2

  @Option(help: ArgumentHelp("Multiples of this many steps stay.", valueName: "steps"))
  var keepEvery: Int?

  @Option(help: "How many of those with the lowest validation losses stay.")
  var keepBest = 0

  @Flag(help: "Only say what would be deleted.")
  var dryRun = false

  @Option(help: "How many chunks are read at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  @OptionGroup
  var output: OutputOptions

  func request() -> PruneCheckpoints {
    PruneCheckpoints(
      directory: source, keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest, dryRun: dryRun, threads: threads)
  }
}
