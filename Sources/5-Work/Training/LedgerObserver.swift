import Kernels
import RunConfiguration
import RunStore
import Support

/// Writes the step ledger, and warns when a recomputed step differs from its record.
final class LedgerObserver: RunObserver {
  private let configuration: RunConfiguration
  private let directory: RunDirectory
  private let ledger: StepLedger
  private let note: (String) -> Void
  private var ranks = 1
  private var isLogged = false

  /// - Parameter note: logs a sentence.
  init(
    _ ledger: StepLedger, _ configuration: RunConfiguration, _ directory: RunDirectory,
    note: @escaping (String) -> Void
  ) {
    self.ledger = ledger
    self.configuration = configuration
    self.directory = directory
    self.note = note
  }

  var files: [AppendedFile] { [ledger.file] }

  func didStart(_ report: StartReport) throws {
    ranks = report.ranks
    if let branch = report.branch { try ledger.append(Branch.ledgerKind, branch.ledgerEntry) }
    try ledger.append(
      "start",
      [
        ("after_step", .integer(report.step)), ("epoch", .integer(report.epoch)),
        ("version", .string(Version.current)), ("program", .string(ProgramDigest.current())),
        ("settings", .string(RunRecord.settingsHash(configuration))),
        ("kernel_family", .string(KernelFamily.current.name)), ("ranks", .integer(report.ranks)),
        ("host", .string(ProcessTable.hostName)), ("data", .list(report.data.map { .string($0) })),
        ("verified_chunks", .integer(report.verifiedChunks)),
      ])
    guard !report.changes.isEmpty else { return }
    try ledger.append("change", [("settings", .list(report.changes.map { .string($0) }))])
  }

  func didStep(_ report: StepReport) throws {
    let outcome = report.outcome
    let step = StepLedger.Step(step: report.step, sequences: configuration.batch.sequences, outcome)
    if let before = try ledger.append(step, kernelFamily: KernelFamily.current.name, ranks: ranks), !isLogged {
      isLogged = true
      log(step, before)
    }
    guard let skipReason = outcome.skipReason else { return }
    try ledger.append("skip", Self.values(report.step, skipReason, report.documents))
  }

  private func log(_ step: StepLedger.Step, _ before: StepLedger.Step) {
    let how = step.hasData(of: before) ? "" : "its data are not those it was trained on, "
    note(
      "step \(step.step): computed again, this step differs from what '\(directory.ledger)' has of it (\(how)loss "
        + "\(before.loss), now \(step.loss)): a program, library, machine or dataset is not what it was; `forge-dist "
        + "replay \(directory.path)` finds the first step that differs")
  }

  func didSave(_ report: SaveReport) throws {
    let root = report.root.map { [("root", JSONLine.string($0))] } ?? []
    try ledger.append("checkpoint", [("step", .integer(report.step))] + root)
  }

  func didRollBack(_ report: RollbackReport) throws {
    try ledger.append(
      "rollback",
      Self.values(report.step, report.reason, report.documents) + [("to_step", .integer(report.toStep))])
  }

  func didRecover(_ report: RecoveryReport) throws {
    let toStep = report.toStep.map { [("to_step", JSONLine.integer($0))] } ?? []
    try ledger.append(
      "repair",
      [("step", .integer(report.step)), ("ranks", .string(report.ranks)), ("how", .string(report.how))] + toStep)
  }

  func didEnd(_ report: EndReport) throws {
    try ledger.append("end", [("step", .integer(report.step)), ("weights_sha256", .string(report.weights))])
  }

  private static func values(_ step: Int, _ reason: String, _ documents: [String]) -> [(String, JSONLine)] {
    [("step", .integer(step)), ("reason", .string(reason)), ("documents", .list(documents.map { .string($0) }))]
  }
}

extension StepLedger.Step {
  /// - Parameter sequences: of a global batch.
  init(step: Int, sequences: Int, _ outcome: StepOutcome) {
    let first = outcome.firstSequence
    self.init(
      step: step, sequences: first..<first + sequences, batch: outcome.batchDigest, loss: outcome.loss,
      gradientNorm: outcome.gradientNorm, isApplied: outcome.isApplied)
  }
}
