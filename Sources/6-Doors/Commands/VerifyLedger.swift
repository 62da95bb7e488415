import RunStore
import Support

/// A request to verify a run's ledger: its hash chain, its steps, and that the checkpoints are those recorded.
public struct VerifyLedger: Command {
  /// A run directory.
  public var directory: String

  public init(directory: String) { self.directory = directory }

  public func run(_ sinks: CommandSinks) throws -> LedgerVerdict {
    let run = RunDirectory(path: directory)
    return LedgerVerdict(run: run, verified: try LedgerVerification(run))
  }
}

/// The result of ledger verification; the exit code is 3 if the ledger is invalid.
public struct LedgerVerdict: CommandResult {
  /// The exit code of an invalid ledger.
  private static let badLedger: Int32 = 3

  let run: RunDirectory
  public let verified: LedgerVerification

  public var exitCode: Int32 { verified.finding == nil ? 0 : Self.badLedger }

  public var text: String {
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

  public var json: JSONLine {
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
