import Foundation
import Kernels
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support

/// Replays steps of a run and compares them with its ledger, bit by bit.
public struct Replay {
  /// The result of a replay.
  public enum Verdict: Equatable, Sendable {
    case identical(steps: Int)
    /// The first step that differs, and how.
    case differs(step: Int, how: String)

    public var exitCode: Int32 { if case .identical = self { 0 } else { 1 } }

    /// The verdict on these steps as programs read it.
    public func json(steps: ClosedRange<Int>) -> JSONLine {
      var (difference, how): (JSONLine, JSONLine) = (.null, .null)
      if case .differs(let step, let text) = self { (difference, how) = (.integer(step), .string(text)) }
      return .object([
        ("from_step", .integer(steps.lowerBound)), ("to_step", .integer(steps.upperBound)),
        ("identical", .boolean(exitCode == 0)), ("first_difference", difference), ("how", how),
      ])
    }
  }

  private let state: RunState
  /// The recorded steps up to the last one compared; earlier ones record which data was used.
  private let recorded: [Int: StepLedger.Step]
  private let steps: ClosedRange<Int>
  /// The branch point; nil for a run that did not branch.
  private let beginning: (step: Int, checkpoint: String, root: String)?

  /// - Parameters:
  ///   - configuration: the run's own; parallelism may differ.
  ///   - steps: counted from 1.
  /// - Throws: `ForgeError.badInput` when the ledger is damaged, lacks one of the steps, or was computed with CPU
  ///   kernels that this machine does not use.
  public init(_ configuration: RunConfiguration, communicator: Communicator, steps: ClosedRange<Int>) throws {
    let directory = RunDirectory(path: configuration.run.directory)
    let file = try communicator.together {
      guard FileManager.default.fileExists(atPath: directory.ledger) else {
        throw ForgeError.badInput(
          "'\(directory.path)' is not a run with a ledger: it has no ledger.jsonl", code: .wrongKind)
      }
      return try LedgerFile(path: directory.ledger)
    }
    if let damage = file.damage {
      throw ForgeError.badInput("'\(directory.ledger)' is damaged: \(damage)", code: .fileDamaged)
    }
    beginning = file.entries.last { $0.kind == Branch.ledgerKind }.flatMap { entry in
      guard let step = entry.number, let checkpoint = entry.checkpoint, let root = entry.root else { return nil }
      return (step, checkpoint, root)
    }
    var recorded: [Int: StepLedger.Step] = [:]
    // Of a step that was computed more than once the last record counts.
    for entry in file.entries {
      guard let step = entry.step, step.step <= steps.upperBound else { continue }
      recorded[step.step] = step
      if steps.contains(step.step), let family = entry.kernelFamily, family != KernelFamily.current.name {
        throw ForgeError.badInput(
          "step \(step.step) was computed with the CPU kernels '\(family)' and this machine uses "
            + "'\(KernelFamily.current)', which do not give the same bits",
          hint: "set run.kernel_family to '\(family)'", code: .runDiffers, keyPath: "run.kernel_family")
      }
    }
    if let missing = steps.first(where: { recorded[$0] == nil }) {
      let branch = beginning.map { "; the run branched off after step \($0.step)" } ?? ""
      throw ForgeError.badInput("'\(directory.ledger)' has no step \(missing)\(branch)", code: .invalidArgument)
    }
    self.recorded = recorded
    self.steps = steps
    try RankConsistency.check(configuration, communicator)
    let progress = ProgressObserver(configuration, directory, isLeader: communicator.isLeader)
    state = try RunState(configuration, directory, communicator: communicator, start: 0, note: progress.note)
  }

  /// Replays from the newest checkpoint before the interval, or from the start of the run without one.
  ///
  /// - Throws: `ForgeError`, `MPIError`.
  public func run() throws -> Verdict {
    let verdict = try compare()
    try state.engine.state.waitForParameters()  // pending gathers complete before the memory is freed
    return verdict
  }

  private func compare() throws -> Verdict {
    if try state.restore(upTo: steps.lowerBound - 1) == nil { try begin() }
    state.note(
      "replaying steps \(steps.lowerBound) to \(steps.upperBound) from step \(state.step), on "
        + "\(state.communicator.size) rank\(state.communicator.size == 1 ? "" : "s")")
    let sequences = state.configuration.batch.sequences
    while state.step < steps.upperBound {
      let step = state.step + 1
      // The recorded batch, also where a rollback has skipped one.
      let expected = recorded[step]
      let outcome = try state.trainingStep.run(
        step: step, batch: expected.map { $0.sequences.lowerBound / sequences }, requests: .init())
      state.step = step
      guard let expected else { continue }
      let computed = StepLedger.Step(step: step, sequences: sequences, outcome)
      // Before the interval only the data are compared, which would explain every later difference.
      guard steps.contains(step) || !computed.hasData(of: expected) else { continue }
      if !computed.repeats(expected) { return .differs(step: step, how: Self.difference(expected, computed)) }
    }
    return .identical(steps: steps.count)
  }

  /// Initialises as the run did: at random, from a model, or from the checkpoint that it branched from.
  private func begin() throws {
    guard let beginning else { return try state.initialize() }
    do { _ = try state.branch(from: beginning.checkpoint, root: beginning.root) } catch let error as ForgeError {
      guard error.kind == .badInput else { throw error }
      let next =
        state.directory.checkpoints.steps().first.map { "; steps from step \($0 + 1) on can be replayed" } ?? ""
      throw ForgeError.badInput(
        "the run branched off from '\(beginning.checkpoint)', and neither that nor a checkpoint of its own from before step "
          + "\(steps.lowerBound) is there as it was (\(error))\(next)", code: .fileNotFound)
    }
  }

  private static func difference(_ recorded: StepLedger.Step, _ computed: StepLedger.Step) -> String {
    if recorded.sequences != computed.sequences {
      return "sequences \(recorded.sequences) are recorded, \(computed.sequences) were used"
    }
    if !computed.hasData(of: recorded) {
      return "the data of step \(recorded.step) are not those trained on (SHA-256 \(recorded.batch ?? "") is recorded, "
        + "\(computed.batch ?? "") was read)"
    }
    if recorded.isApplied != computed.isApplied {
      return recorded.isApplied
        ? "its update was made, and is left out now" : "its update was left out, and is made now"
    }
    let isLoss = recorded.loss.bitPattern != computed.loss.bitPattern
    let (before, now) = isLoss ? (recorded.loss, computed.loss) : (recorded.gradientNorm, computed.gradientNorm)
    return "\(isLoss ? "loss" : "gradient norm") \(before) (\(StepLedger.bits(before))) is recorded, "
      + "\(now) (\(StepLedger.bits(now))) came out"
  }
}
