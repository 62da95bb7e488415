import ArgumentParser
import Commands
import Foundation

struct CheckpointDiffCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Compare two checkpoints, tensor by tensor, and their metadata.",
    discussion: "Exit code 0 when they are equal, 1 when they differ.")

  @Argument(help: "A checkpoint; of a run, the one that latest names.")
  var first: String

  @Argument(help: "Another one.")
  var second: String

  @Option(help: "How many chunks are read at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  @OptionGroup
  var output: OutputOptions

  func request() -> CompareCheckpoints { CompareCheckpoints(first: first, second: second, threads: threads) }
}
