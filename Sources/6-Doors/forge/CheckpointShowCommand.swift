import ArgumentParser
import Commands

struct CheckpointShowCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show a checkpoint's metadata and how each of its tensors is stored.")

  @Argument(help: "A checkpoint; of a run, the one that latest names.")
  var checkpoint: String

  @OptionGroup
  var output: OutputOptions

  func request() -> ShowCheckpoint { ShowCheckpoint(checkpoint: checkpoint) }
}
