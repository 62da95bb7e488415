import Checkpoints
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support

/// What a run knows of the copies on the nodes' own disks.
struct CopyState {
  /// The last step that was copied, or that the run began with.
  var step = 0
  var isLogged = false
}

/// Copies on the nodes' own disks, between the checkpoints on the shared one.
extension Trainer {
  static func openCopies(
    _ directory: RunDirectory, _ configuration: RunConfiguration, _ lease: RunLease, _ communicator: Communicator
  ) throws -> NodeLocalCheckpoints? {
    guard let path = directory.copiesPath(configuration, run: lease.record.run) else { return nil }
    return try NodeLocalCheckpoints(
      path: path, files: GuardedFiles(check: lease.check), token: lease.record.holder, communicator: communicator)
  }

  /// Whether the nodes should copy the state now. One that falls due while another save is under way comes after it:
  /// training does not wait for the shared disk. Collective.
  func isCopyDue() throws -> Bool {
    guard copies != nil, let interval = configuration.checkpoint.local?.every, step - lastCopy.step >= interval else {
      return false
    }
    return try communicator.allReduce(saver.isSaving ? 1 : 0 as Int64, .max) == 0
  }

  /// Begins a copy of the present step on the nodes' own disks. Collective.
  func startCopy(_ validated: Validation.Loss?) throws {
    guard let copies else { return }
    lastCopy.step = step
    try saver.start(
      CheckpointSaver.Request(
        step: step, folder: copies.folder, level: configuration.checkpoint.level,
        metadata: NodeLocalCheckpoints.metadata(record(validated).metadata, sharedStep: saves.savedStep ?? 0),
        copies: copies, beforehand: observers.synchronization()))
    if !configuration.keepsSnapshot { try settleSave() }
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

  /// The run is complete, and the shared disk has its last checkpoint.
  func discardCopies() {
    do { try copies?.discard() } catch { note("the nodes' copies were not deleted: \(error)") }
  }
}
