import Checkpoints
import Foundation
import Parallelism
import RunConfiguration
import RunStore
import Support
import Synchronization

/// The state of a run's checkpoints on the shared disk.
struct SaveState {
  /// The step of the newest durable checkpoint on the shared disk.
  private(set) var savedStep: Int?
  private(set) var retention = Retention()
  /// The time of the next retry after a failed save, by this rank's clock.
  private var retry: (at: ContinuousClock.Instant, delay: Double)?

  private static let retryDelays = (first: 10.0, longest: 600.0)

  /// Whether a failed save is to be retried now.
  var isRetryDue: Bool { retry.map { ContinuousClock.now >= $0.at } ?? false }

  mutating func restored(step: Int) {
    savedStep = step
    retention.verified.withLock { $0 = step }
  }

  /// Records a restore from node-local checkpoints, where the shared disk has an older checkpoint or none.
  mutating func restoredFromCopies(sharedStep: Int?) { savedStep = sharedStep }

  mutating func saved(step: Int) {
    savedStep = step
    retry = nil
  }

  mutating func failed() {
    let delay = retry.map { min(2 * $0.delay, Self.retryDelays.longest) } ?? Self.retryDelays.first
    retry = (ContinuousClock.now + .seconds(delay), delay)
  }

  /// Suspends retries while a save is in progress.
  mutating func began() { if let retry { self.retry = (ContinuousClock.now + .seconds(1e6), retry.delay) } }

  /// Retention: deletes old checkpoints, in the background.
  final class Retention: Sendable {
    /// The step of a checkpoint that this process has verified by reading.
    let verified = Mutex<Int?>(nil)

    /// - Returns: notes for the log; an error does not stop the run.
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
  /// Starts a checkpoint of the current step, asynchronously if so configured. Collective.
  func startSave(_ validated: Validation.Loss?) throws {
    try settleSave(waiting: true)  // one copy of the state at a time
    let folder = directory.checkpoints(under: lease)
    let (settings, retention, threads) = (configuration.checkpoint, saves.retention, state.engine.backend.team.count)
    saves.began()
    try saver.start(
      CheckpointSaver.Request(
        step: step, folder: folder, level: settings.level, metadata: record(validated).metadata,
        // Records of the steps are durable before the checkpoint.
        beforehand: observers.synchronization(),
        afterwards: { retention.prune(folder, settings, threads: threads) }))
    if !configuration.usesStagingBuffer { try settleSave() }
  }

  /// The run record of a checkpoint of the current step.
  func record(_ validated: Validation.Loss?) -> RunRecord {
    RunRecord(
      progress: state.trainingStep.progress, ledger: ledger?.position, validationLoss: validated?.overall,
      validationSets: validationIdentity, configuration: configuration, sources: state.found.sources,
      branch: state.branch)
  }

  /// Processes the outcome of the last save, if known.
  ///
  /// - Returns: the error of a failed save.
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

  /// Saves a checkpoint synchronously, as before the program ends.
  ///
  /// - Throws: `ForgeError.tryAgain` when it could not be written.
  func saveAndWait(_ validated: Validation.Loss?) throws {
    try settleSave(waiting: true)
    guard saves.savedStep != step else { return }
    try startSave(validated)
    let failure = try settleSave(waiting: true)
    guard saves.savedStep == step else {
      throw failure
        ?? ForgeError.tryAgain(
          "the checkpoint of step \(step) could not be written", hint: "see train.log", code: .writeFailed)
    }
  }
}
