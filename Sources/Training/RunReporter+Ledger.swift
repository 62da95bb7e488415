import Checkpoints
import Configuration
import Diagnostics
import Foundation
import Kernels
import MPI
import Parallelism
import Settings

/// What goes into the step ledger, and what is said of going back.
extension RunReporter {
  /// What a checkpoint remembers of the ledger; only rank 0 has one.
  var ledgerPosition: StepLedger.Position? { ledger?.position }

  /// Opens the ledger and records the start.
  func openLedger(_ trainer: Trainer, continuing record: RunRecord?) throws {
    let settings = Self.settingsHash(configuration)
    let isSame = record?.continuedSettings == settings
    let ledger = try StepLedger(
      path: directory.ledger, continuingFrom: record?.ledger, settings: isSame ? settings : "", expected: settings,
      report: note)
    try ledger.append(
      "start",
      [
        ("after_step", .integer(trainer.step)), ("epoch", .integer(trainer.lease.record.epoch)),
        ("version", .string(Version.current)), ("program", .string(ProgramDigest.current())),
        ("settings", .string(settings)), ("kernel_family", .string(KernelFamily.current.name)),
        ("ranks", .integer(trainer.communicator.size)), ("host", .string(Launcher.hostName)),
        ("data", .list(trainer.state.found.sources.train.map { .string($0.sha256) })),
        ("verified_chunks", .integer(trainer.state.found.verifiedChunks)),
      ])
    let changes = record?.changes ?? []
    if !changes.isEmpty {
      try ledger.append("change", [("settings", .list(changes.map { .string($0) }))])
    }
    self.ledger = ledger
  }

  /// The hash of everything that decides what steps compute, so that a record of other settings is not compared.
  static func settingsHash(_ configuration: RunConfiguration) -> String {
    let without: Set = ["run", "parallelism", "memory", "checkpoint", "validation", "watchdog"]
    var node = configuration.source
    if case .mapping(let entries) = node.value {
      node = ConfigurationNode(.mapping(entries.filter { !without.contains($0.key) }), at: node.location)
    }
    let run = configuration.run
    return StepLedger.hash("\(run.seed) \(run.steps)\n\(node.yaml())".utf8)
  }

  /// Records a step, and tells when an earlier start computed it differently.
  func enterLedger(step: Int, _ outcome: StepOutcome) throws {
    let entry = StepLedger.Step(step: step, sequences: configuration.batch.sequences, outcome)
    let before = try ledger?.append(entry, kernelFamily: KernelFamily.current.name, ranks: hosts.count)
    if let before, !toldDifference {
      toldDifference = true
      note(
        "step \(step): computed again, this step differs from what '\(directory.ledger)' has of it (loss \(before.loss), "
          + "now \(outcome.loss)): a program, library, machine or dataset is not what it was; `forge-dist replay "
          + "\(directory.path)` finds the first step that differs")
    }
  }

  func saved(_ outcome: CheckpointSaver.Outcome) throws {
    try ledger?.append("checkpoint", [("step", .integer(outcome.step))])
    note(
      "step \(outcome.step): checkpoint saved in \(Self.rounded(outcome.seconds)) s"
        + (configuration.keepsSnapshot ? "; training stood still for \(Self.rounded(outcome.stallSeconds)) s" : ""))
  }

  func skipped(step: Int, _ outcome: StepOutcome, documents: [String]) throws {
    guard let objection = outcome.objection else { return }
    note("step \(step): \(objection); the update was skipped")
    try ledger?.append("skip", Self.values(step: step, objection, documents))
  }

  func rolledBack(from last: Int, to step: Int, _ outcome: StepOutcome, documents: [String]) throws {
    let objection = outcome.objection ?? ""
    note("step \(last + 1): \(objection); back to step \(step), and on without this batch (see '\(directory.ledger)')")
    try ledger?.append("rollback", Self.values(step: last + 1, objection, documents) + [("to_step", .integer(step))])
    try rewind(to: step)
  }

  /// - Parameter hosts: of the ranks concerned, as ``describe(ranks:)`` names them.
  func repaired(step: Int, hosts: String, how: String) throws {
    note(
      "step \(step): \(hosts): parameters in memory changed by themselves; they were \(how), and the step is computed "
        + "again; have the memory of the machine checked")
    try ledger?.append("repair", [("step", .integer(step)), ("ranks", .string(hosts)), ("how", .string(how))])
  }

  private static func values(step: Int, _ reason: String, _ documents: [String]) -> [(String, MetricsLog.Value)] {
    [("step", .integer(step)), ("reason", .string(reason)), ("documents", .list(documents.map { .string($0) }))]
  }

  /// `rank 3 (host node17)`, and so on.
  func describe(ranks: [Int]) -> String {
    ranks.map { $0 < hosts.count ? "rank \($0) (host \(hosts[$0]))" : "rank \($0)" }.joined(separator: ", ")
  }
}
