import ArgumentParser
import Commands
import Foundation

struct CheckpointVerifyCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read every byte of one or all checkpoints and name what is damaged.",
    discussion: "Exit code 64 when anything is.")

  @Argument(help: "A run directory, its checkpoints folder or a checkpoint.")
  var source: String

  @Option(help: "How many chunks are read at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  @OptionGroup
  var output: OutputOptions

  func request() -> VerifyCheckpoints { VerifyCheckpoints(source: source, threads: threads) }
}
