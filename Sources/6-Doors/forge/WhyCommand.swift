import ArgumentParser
import Diagnostics
import Foundation

struct WhyCommand: ParsableCommand {
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

  func run() throws {
    try StandardOutput.write(try RunDiagnosis(run: directory).text())
  }
}
