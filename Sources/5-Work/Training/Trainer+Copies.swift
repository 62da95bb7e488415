import Checkpoints
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support

/// The state of a run's node-local checkpoints.
struct CopyState {
  /// The step of the last node-local checkpoint, or the restored one.
  var step = 0
  var isLogged = false
}

/// Node-local checkpoints, between the checkpoints on the shared disk.
extension Trainer {
  static func openCopies(
    _ directory: RunDirectory, _ configuration: RunConfiguration, _ lease: RunLease, _ communicator: Communicator
  ) throws -> NodeLocalCheckpoints? {
    guard let path = directory.copiesPath(configuration, run: lease.record.run) else { return nil }
    return try NodeLocalCheckpoints(
      path: path, files: GuardedFiles(check: lease.check), token: lease.record.holder, communicator: communicator)
  }

  /// Whether a node-local checkpoint is due. While another save is in progress it is deferred, so that training does
  /// not wait for the shared disk. Collective.
  func isCopyDue() throws -> Bool {
    guard copies != nil, let interval = configuration.checkpoint.local?.every, step - lastCopy.step >= interval else {
      return false
    }
    return try communicator.allReduce(saver.isSaving ? 1 : 0 as Int64, .max) == 0
  }

  /// Starts a node-local checkpoint of the current step. Collective.
  func startCopy(_ validated: Validation.Loss?) throws {
    guard let copies else { return }
    lastCopy.step = step
    try saver.start(
      CheckpointSaver.Request(
        step: step, folder: copies.folder, level: configuration.checkpoint.level,
        metadata: NodeLocalCheckpoints.metadata(record(validated).metadata, sharedStep: saves.savedStep ?? 0),
        copies: copies, beforehand: observers.synchronization()))
    if !configuration.usesStagingBuffer { try settleSave() }
  }

  func logCopy(_ outcome: CheckpointSaver.Outcome) {
    if let failure = outcome.failure {
      lastCopy.isLogged = false
      note("step \(outcome.step): the nodes kept no copy, training goes on: \(failure)")
    } else if !lastCopy.isLogged, let copies {
      lastCopy.isLogged = true
      note(
        "step \(outcome.step): the nodes keep a copy of the state, written in \(ProgressObserver.rounded(outcome.seconds)) s; "
          + (copies.nodes.ranks.count > 1 ? "each also has that of another node" : "there is one node, so no partner")
          + "; a new one every \(configuration.checkpoint.local?.every ?? 0) steps")
    }
  }

  /// Deletes the node-local checkpoints of a complete run, whose last checkpoint is on the shared disk.
  func discardCopies() {
    do { try copies?.discard() } catch { note("the nodes' copies were not deleted: \(error)") }
  }
}
