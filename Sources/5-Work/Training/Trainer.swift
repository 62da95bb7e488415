import Checkpoints
import Diagnostics
import Engine
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support

/// The trainer: the main loop of a training run on one rank. It only sequences; a step is in `TrainingStep`, reduction
/// and sharding are in `Parallelism`, the model is in `Models`.
public final class Trainer {
  let configuration: RunConfiguration
  let communicator: Communicator
  let directory: RunDirectory
  /// The lease on the run directory.
  let lease: RunLease
  /// Updates this rank's flight record, and ends a job that hangs.
  let watchdog: Watchdog
  /// Data, engine and step.
  let state: RunState
  let validation: Validation?
  /// Why the configured validation is impossible; nil when it is not.
  let validationViolation: ForgeError?
  let saver: CheckpointSaver
  /// Node-local checkpoints; nil when none are configured.
  let copies: NodeLocalCheckpoints?
  /// Logs on rank 0; one of the observers.
  let progress: ProgressObserver
  /// The observers of the run; none on ranks other than 0.
  var observers = RunObservers()
  let outcomeObserver: OutcomeObserver
  /// The step ledger, whose position checkpoints record; on rank 0 only.
  var ledger: StepLedger?
  var peak: PeakShare?
  /// The ranks' hosts; on rank 0 only.
  var hosts: [String] = []
  /// Steps done.
  var step: Int { state.step }
  var saves = SaveState()
  /// Recoveries from silent data corruption since the last completed step.
  var recoveries = 0
  var skippedInARow = 0
  var lastCopy = CopyState()

  /// The main loop.
  ///
  /// - Returns: the process's exit code: 0 when the run is complete, 75 when it stopped on request and can be resumed.
  /// - Throws: `ForgeError`, `MPIError`.
  public func run() throws -> Int32 {
    let restored = try during(.restoring) { try restoreOrInitialize() }
    try begin(continuing: restored)
    keepSources()
    // After this checkpoint a branch no longer needs its trunk.
    if restored?.beginsBranch == true { try during(.checkpoint) { try saveAndWait(nil) } }
    var validated: Validation.Loss?
    while step < configuration.run.steps {
      let started = ContinuousClock.now
      guard let outcome = try nextStep() else { continue }
      state.step += 1
      let seconds = (ContinuousClock.now - started) / .seconds(1)
      validated =
        isDue(configuration.validation.every)
        ? try during(.validation) { try validation?.loss(state.engine) } : nil
      try during(.recording) {
        try report(outcome, seconds: seconds, validated)
        try settleSave()
      }
      guard step < configuration.run.steps else { break }
      if outcome.stopRequested {
        try during(.checkpoint) { try saveAndWait(validated) }
        try observers.notify { try $0.didStop(StopReport(step: step)) }
        try lease.release()
        return ForgeError.Kind.tryAgain.exitCode
      }
      if isDue(configuration.checkpoint.every) || outcome.saveRequested {
        try during(.checkpoint) { try startSave(validated) }
      } else if try isCopyDue() {
        try during(.checkpoint) { try startCopy(validated) }
      }
    }
    try during(.checkpoint) { try saveAndWait(validated) }
    try during(.ending) {
      try checkLease()
      try reportEnd()
      discardCopies()
    }
    try lease.release()
    return 0
  }

  /// Runs a phase that is not a step, and may take longer.
  private func during<Result>(_ phase: FlightRecorder.Phase, _ body: () throws -> Result) rethrows -> Result {
    try watchdog.phase(phase, body)
  }

  /// Runs one step; nil after a rollback or recovery, which may have changed `step`.
  private func nextStep() throws -> StepOutcome? {
    do {
      let requests = TrainingStep.StepRequests(stop: StopSignals.requested, save: saves.isRetryDue)
      watchdog.beginStep(step + 1)
      let outcome = try state.trainingStep.run(step: step + 1, requests: requests)
      watchdog.endStep()
      let goesBack = !outcome.isApplied && configuration.spikes.policy == .rollback
      recoveries = 0
      return try goesBack && during(.restoring, { try rollBack(outcome) }) ? nil : outcome
    } catch let damaged as TrainingStep.CorruptReplicas {
      try during(.restoring) { try recover(damaged.damage) }
      return nil
    }
  }

  /// What has come of the run so far; rank 0 knows.
  public var outcome: RunOutcome { outcomeObserver.outcome }

  /// Ends a run whose directory another job has taken over, before it writes anything more.
  func checkLease() throws {
    guard communicator.isLeader else { return }
    do { try lease.check() } catch {
      observers.abandon()
      throw error
    }
  }

  /// Whether the current step is a multiple of `interval`, or the last; never for 0.
  func isDue(_ interval: Int) -> Bool {
    interval > 0 && (step % interval == 0 || step == configuration.run.steps)
  }

  /// Acquires the run directory, reads the data, and allocates the engine. Collective.
  ///
  /// - Parameter communicator: all ranks of the run.
  /// - Throws: `ForgeError.badInput` for data, weights or a run directory that cannot be used.
  public init(_ configuration: RunConfiguration, communicator: Communicator) throws {
    StopSignals.install()
    self.configuration = configuration
    self.communicator = communicator
    let directory = RunDirectory(path: configuration.run.directory)
    self.directory = directory
    try RankConsistency.check(configuration, communicator)
    let progress = ProgressObserver(configuration, directory, isLeader: communicator.isLeader)
    self.progress = progress
    outcomeObserver = OutcomeObserver(name: configuration.run.name, directory: configuration.run.directory)
    // Before data and model are read, which may fail: the lease counts automatic restarts without progress.
    let lease = try directory.lease(configuration, communicator: communicator, log: progress.note)
    self.lease = lease
    var watchdog: Watchdog?
    state = try RunState(
      configuration, directory, communicator: communicator, start: lease.record.epoch, note: progress.note
    ) {
      watchdog = try Watchdog(
        configuration.watchdog, directory, communicator: communicator, lease: lease, warn: progress.note)
    }
    guard let watchdog else { preconditionFailure("a watchdog begins when the data have been read") }
    self.watchdog = watchdog
    validation = try Validation(
      configuration, loader: state.loader, checkedVocabularies: state.found.checkedVocabularies)
    validationViolation = try Validation.violation(configuration, validation)
    saver = try CheckpointSaver(
      state.checkpoints, communicator: communicator, asynchronous: configuration.usesStagingBuffer,
      backend: state.engine.backend)
    copies = try Self.openCopies(directory, configuration, lease, communicator)
  }

  /// Writes the gradients of the next step, before clipping, under their Hugging Face names, without updating weights:
  /// for comparison with other implementations. Collective; rank 0 writes.
  public func dumpGradients(to path: String) throws {
    _ = try restoreOrInitialize()
    try state.dumpGradients(to: path)
  }
}
