import ArgumentParser

struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "List, verify, show, compare and delete the checkpoints of a run.",
    discussion: """
      EXAMPLES
        forge checkpoint list runs/quickstart
        forge checkpoint verify runs/quickstart
        forge checkpoint show runs/quickstart/checkpoints/step-00000100
        forge checkpoint diff runs/a runs/b
        forge checkpoint prune runs/quickstart --keep-last 2 --keep-best 1 --dry-run
      """,
    subcommands: [
      CheckpointListCommand.self, CheckpointVerifyCommand.self, CheckpointShowCommand.self, CheckpointDiffCommand.self,
      CheckpointPruneCommand.self,
    ])
}
