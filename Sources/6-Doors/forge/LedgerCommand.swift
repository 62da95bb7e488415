import ArgumentParser
import Commands

struct LedgerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ledger",
    abstract: "Check the record of what a run computed.",
    discussion: """
      EXAMPLE
        forge ledger verify runs/quickstart
      """,
    subcommands: [LedgerVerifyCommand.self])
}

struct LedgerVerifyCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a run's ledger: its chain of hashes, its steps, and that the checkpoints are those it names.",
    discussion: """
      What checkpoints hold is not read (see 'forge checkpoint verify'), and nothing is computed again (see 'forge-dist \
      replay'). Exit codes: 0 sound, 3 something is wrong and was named, 64 no run with a ledger.
      """)

  @Argument(help: ArgumentHelp("A run directory.", valueName: "run-directory"))
  var directory: String

  @OptionGroup
  var output: OutputOptions

  func request() -> VerifyLedger { VerifyLedger(directory: directory) }
}
