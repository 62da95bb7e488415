import ArgumentParser
import Commands

struct WhyCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "why",
    abstract: "Say which rank of a run stopped where, and who waits for it.",
    discussion: """
      Reads the ranks' black boxes in the run directory, while the job hangs or after it has ended. On the node of a rank
      it also asks the kernel whether the process is there; ranks of other nodes are judged by their last sign of life.

      EXAMPLE
        forge why runs/pretrain
      """)

  @Argument(help: ArgumentHelp("A run directory.", valueName: "run-directory"))
  var directory: String

  @OptionGroup
  var output: OutputOptions

  func request() -> ExplainStop { ExplainStop(directory: directory) }
}
