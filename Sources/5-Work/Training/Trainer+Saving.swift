import Checkpoints
import Foundation
import Parallelism
import RunConfiguration
import RunStore
import Support
import Synchronization

/// What a run knows about its checkpoints.
struct SaveState {
  /// The newest one that is durable on the shared disk.
  private(set) var savedStep: Int?
  private(set) var retention = Retention()
  /// Rank 0's clock for trying again after a failure.
  private var retry: (at: ContinuousClock.Instant, delay: Double)?

  private static let retryDelays = (first: 10.0, longest: 600.0)

  /// Whether a save that failed should be tried again now.
  var isRetryDue: Bool { retry.map { ContinuousClock.now >= $0.at } ?? false }

  mutating func restored(step: Int) {
    savedStep = step
    retention.verified.withLock { $0 = step }
  }

  /// The run continues from the nodes' copies, and the shared disk has an older checkpoint, or none.
  mutating func restoredFromCopies(sharedStep: Int?) { savedStep = sharedStep }

  mutating func saved(step: Int) {
    savedStep = step
    retry = nil
  }

  mutating func failed() {
    let delay = retry.map { min(2 * $0.delay, Self.retryDelays.longest) } ?? Self.retryDelays.first
    retry = (ContinuousClock.now + .seconds(delay), delay)
  }

  /// No further try before the one that now begins has ended.
  mutating func began() { if let retry { self.retry = (ContinuousClock.now + .seconds(1e6), retry.delay) } }

  /// Deletes old checkpoints, behind training's back.
  final class Retention: Sendable {
    /// A checkpoint that this process has read back.
    let verified = Mutex<Int?>(nil)

    /// - Returns: what should be noted; failing to delete is no reason to stop.
    func prune(_ folder: CheckpointFolder, _ settings: RunConfiguration.Checkpoint, threads: Int) -> [String] {
      var notes: [String] = []
      do {
        let sound = try folder.prune(
          keepLast: settings.keepLast, keepEvery: settings.keepEvery, keepBest: settings.keepBest,
          verified: verified.withLock { $0 },
          threads: threads, report: { notes.append("a kept checkpoint is damaged: \($0)") })
        verified.withLock { $0 = sound }
      } catch {
        notes.append("old checkpoints were not deleted: \(error)")
      }
      return notes
    }
  }
}

extension Trainer {
  /// Begins a checkpoint of the present step; training goes on while it is written. Collective.
  func startSave(_ validated: Validation.Loss?) throws {
    try settleSave(waiting: true)  // one copy of the state at a time
    let folder = directory.checkpoints(under: lease)
    let (settings, retention, threads) = (configuration.checkpoint, saves.retention, state.engine.backend.team.count)
    saves.began()
    try saver.start(
      CheckpointSaver.Request(
        step: step, folder: folder, level: settings.level, metadata: record(validated).metadata,
        // A checkpoint is never ahead of what is recorded of its steps.
        beforehand: observers.synchronization(),
        afterwards: { retention.prune(folder, settings, threads: threads) }))
    if !configuration.keepsSnapshot { try settleSave() }
  }

  /// What a checkpoint of the present step says of the run.
  func record(_ validated: Validation.Loss?) -> RunRecord {
    RunRecord(
      progress: state.trainingStep.progress, ledger: ledger?.position, validationLoss: validated?.overall,
      validationSets: validationIdentity, configuration: configuration, sources: state.found.sources,
      branch: state.branch)
  }

  /// Takes note of what became of the last save, if that is known.
  ///
  /// - Returns: why it failed.
  @discardableResult
  func settleSave(waiting: Bool = false) throws -> ForgeError? {
    guard let outcome = try waiting ? saver.wait() : saver.takeOutcome() else { return nil }
    if outcome.isLocal {
      logCopy(outcome)
      return nil
    }
    if let failure = outcome.failure {
      saves.failed()
      note("step \(outcome.step): no checkpoint was saved, training goes on: \(failure)")
    } else {
      saves.saved(step: outcome.step)
      let report = SaveReport(
        step: outcome.step, seconds: outcome.seconds, stallSeconds: outcome.stallSeconds,
        root: communicator.isLeader ? directory.checkpoints.latestRoot(step: outcome.step) : nil)
      try observers.notify { try $0.didSave(report) }
    }
    outcome.notes.forEach(note)
    return outcome.failure
  }

  /// A checkpoint that must be there before the program ends.
  ///
  /// - Throws: `ForgeError.tryAgain` when it could not be written.
  func saveAndWait(_ validated: Validation.Loss?) throws {
    try settleSave(waiting: true)
    guard saves.savedStep != step else { return }
    try startSave(validated)
    let failure = try settleSave(waiting: true)
    guard saves.savedStep == step else {
      throw failure ?? ForgeError.tryAgain("the checkpoint of step \(step) could not be written; see train.log")
    }
  }
}
