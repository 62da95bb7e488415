import Checkpoints
import MPI
import ModelFiles
import Parallelism
import RunStore
import Support

/// Starting, rollback and recovery of a run.
extension Trainer {
  /// Resumes from the newest sound checkpoint, branches from another run's, or initialises from a pretrained model or
  /// at random.
  ///
  /// - Returns: the checkpoint's record; nil at a start without one.
  func restoreOrInitialize() throws -> RunRecord? {
    if let record = try restore() {
      try checkSources(continuing: record)
      return record
    }
    try checkSources()
    let branch = try configuration.run.branchFrom.map { try state.branch(from: $0) }
    if branch == nil { try state.initialize() }
    try keepModelFiles()
    return branch
  }

  /// Restores the newest sound checkpoint.
  ///
  /// - Parameter last: the newest step to consider.
  /// - Returns: nil when there is none.
  /// - Throws: as `RunState.restore`.
  private func restore(upTo last: Int = .max) throws -> RunRecord? {
    guard let restored = try state.restore(upTo: last, copies: copies) else { return nil }
    lastCopy.step = step
    if restored.isFromCopies {
      saves.restoredFromCopies(sharedStep: restored.sharedStep)
    } else {
      saves.restored(step: step)
    }
    return restored.record
  }

  /// Copies the files besides weights of `model.from`, or of a branch's trunk, for exports of this run.
  private func keepModelFiles() throws {
    try communicator.together {
      guard communicator.isLeader else { return }
      try checkLease()
      let source = configuration.pretrained ?? configuration.run.branchFrom
      let files = try source.map { try ModelFolderFiles(model: $0) } ?? ModelFolderFiles()
      try files.keep(inRun: directory.path)
      if let leftOut = files.leftOutNote { note(leftOut) }
    }
  }

  // MARK: Rollback and recovery

  private static let maxRollbacks = 10

  /// Rolls back to the last checkpoint and skips a step's batch from then on.
  ///
  /// This need not survive a crash: a run resumed from the same checkpoint computes the same batch, and decides alike.
  ///
  /// - Returns: false when there is no checkpoint; then only the update is skipped.
  func rollBack(_ outcome: StepOutcome) throws -> Bool {
    try settleSave(waiting: true)
    let (from, skipped) = (step, state.trainingStep.progress.skippedBatches)
    try state.engine.state.waitForParameters()
    guard let record = try restore() else { return false }
    let batch = outcome.firstSequence / configuration.batch.sequences
    state.trainingStep.progress.skippedBatches = Array(Set(skipped + [batch])).sorted()
    guard state.trainingStep.progress.skippedBatches.count - record.progress.skippedBatches.count <= Self.maxRollbacks
    else {
      throw ForgeError.badInput(
        "the run went back to step \(step) \(Self.maxRollbacks) times and always met a bad step again: training has "
          + "diverged", hint: "lower optimizer.learning_rate or start from an earlier checkpoint", code: .diverged)
    }
    try checkLease()
    let report = RollbackReport(
      step: from + 1, toStep: step, reason: outcome.skipReason ?? "", documents: state.documents(of: outcome))
    try observers.notify { try $0.didRollBack(report) }
    return true
  }

  private static let maxRecoveries = 3

  /// Recovers from silent data corruption of parameters, from sound shards or a checkpoint; the step is recomputed.
  func recover(_ damage: SilentDataCorruptionCheck.Damage) throws {
    let hosts = describe(ranks: damage.ranks)
    recoveries += 1
    guard recoveries <= Self.maxRecoveries else {
      throw ForgeError.tryAgain(
        "\(hosts): parameters in memory change by themselves again and again",
        hint: "exclude the machine, and start the run again", code: .memoryCorrupted
      )
    }
    // Replicas that every rank updates itself are compared at intervals: with longer ones, gradients since the change
    // are wrong.
    let isFresh = configuration.parallelism.sharding != .none || configuration.run.compareReplicas == 1
    if damage.ownersAreSound, isFresh {
      try checkLease()
      try state.engine.state.gatherShards()
      state.trainingStep.parametersChanged()
      try observers.notify { try $0.didRecover(RecoveryReport(step: step + 1, ranks: hosts, toStep: nil)) }
      return
    }
    try settleSave(waiting: true)
    try state.engine.state.waitForParameters()
    try checkLease()
    // Checkpoints since the last comparison may be corrupt.
    let (from, sound) = (step, state.trainingStep.comparedStep)
    try communicator.together {
      guard communicator.isLeader else { return }
      try directory.checkpoints(under: lease).remove(after: sound)
    }
    guard try restore(upTo: sound) != nil else {
      throw ForgeError.tryAgain(
        "\(hosts): parameters in memory have changed by themselves, and there is no checkpoint to return to",
        hint: "have the memory checked, and start the run again", code: .memoryCorrupted)
    }
    try observers.notify { try $0.didRecover(RecoveryReport(step: from + 1, ranks: hosts, toStep: step)) }
  }
}
