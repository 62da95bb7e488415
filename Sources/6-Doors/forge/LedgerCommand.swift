import ArgumentParser
import Foundation
import RunStore
import Support

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

struct LedgerVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a run's ledger: its chain of hashes, its steps, and that the checkpoints are those it names.",
    discussion: """
      What checkpoints hold is not read (see 'forge checkpoint verify'), and nothing is computed again (see 'forge-dist \
      replay'). Exit codes: 0 sound, 3 something is wrong and was named, 64 no run with a ledger.
      """)

  /// Something is wrong with the ledger.
  private static let badLedger: Int32 = 3

  @Argument(help: ArgumentHelp("A run directory.", valueName: "run-directory"))
  var directory: String

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    let run = RunDirectory(path: directory)
    let verified = try LedgerVerification(run)
    try StandardOutput.write(json ? Self.object(run, verified).text + "\n" : Self.text(run, verified))
    if verified.finding != nil { throw ExitCode(Self.badLedger) }
  }

  private static func text(_ run: RunDirectory, _ verified: LedgerVerification) -> String {
    func shown(_ text: String) -> String { ShownName.escaped(text) }
    if let finding = verified.finding {
      let place = shown(finding.file) + (finding.line.map { ":\($0)" } ?? "")
      return "\(place): \(finding.line == nil ? "" : "this line ")\(shown(finding.what)): \(finding.meaning)\n"
    }
    func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
    var sentence =
      "\(shown(run.ledger)): sound, \(count(verified.lines, "line")), \(count(verified.steps, "step")) up to step "
      + "\(verified.lastStep), \(count(verified.starts, "start"))"
    if verified.repeatedSteps > 0 {
      sentence +=
        "; \(count(verified.repeatedSteps, "step")) computed again, \(verified.differingSteps) of them with other bits"
    }
    sentence += "; \(count(verified.checkpoints, "checkpoint")) as recorded"
    if verified.unknownCheckpoints > 0 {
      sentence += ", \(verified.unknownCheckpoints) of versions that kept no ledger"
    }
    if verified.cutBytes > 0 {
      sentence += "; the last line is being written, or was cut short by a crash: the next start drops it"
    }
    return sentence + "\n"
  }

  private static func object(_ run: RunDirectory, _ verified: LedgerVerification) -> JSONLine {
    .object([
      ("run", .string(run.path)), ("ledger", .string(run.ledger)), ("sound", .boolean(verified.finding == nil)),
      ("lines", .integer(verified.lines)), ("steps", .integer(verified.steps)),
      ("last_step", .integer(verified.lastStep)), ("starts", .integer(verified.starts)),
      ("repeated_steps", .integer(verified.repeatedSteps)), ("differing_steps", .integer(verified.differingSteps)),
      ("checkpoints", .integer(verified.checkpoints)), ("unknown_checkpoints", .integer(verified.unknownCheckpoints)),
      ("cut_bytes", .integer(verified.cutBytes)),
      (
        "finding",
        verified.finding.map { finding in
          .object([
            ("file", .string(finding.file)), ("line", finding.line.map { .integer($0) } ?? .null),
            ("what", .string(finding.what)), ("meaning", .string(finding.meaning)),
          ])
        } ?? .null
      ),
    ])
  }
}
