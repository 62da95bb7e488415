import Checkpoints
import Foundation
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support

/// Acquiring the lease on a run's directory, by all ranks.
extension RunDirectory {
  /// The folder of this node's node-local checkpoints; nil when none are configured.
  ///
  /// - Parameter run: the run's identity in the lease, so that a new run in the same directory does not find the copies
  ///   of a former one.
  func copiesPath(_ configuration: RunConfiguration, run: String?) -> String? {
    guard let local = configuration.checkpoint.local, let run else { return nil }
    return NodeLocalCheckpoints.path(local.folder, run: "\(configuration.run.name)-\(run.prefix(8))")
  }

  /// The newest step with a checkpoint, shared or node-local; 0 for none.
  private func newestStep(_ configuration: RunConfiguration) -> Int {
    let copies = copiesPath(configuration, run: RunLease.read(lock)?.run).map { CheckpointFolder(path: $0) }
    return max(checkpoints.steps().last ?? 0, copies?.steps().last ?? 0)
  }

  /// Creates the directory and acquires the lease on it for all ranks. Collective.
  ///
  /// - Parameter log: called when the job has to wait.
  /// - Throws: `ForgeError.badInput` when the directory cannot be written, or another job has the lease.
  func lease(
    _ configuration: RunConfiguration, communicator: Communicator, log: (String) -> Void
  ) throws -> RunLease {
    var lease: RunLease?
    var record: [UInt8] = []
    try communicator.together {
      guard communicator.isLeader else { return }
      try make()
      let taken = try RunLease.acquire(
        path: lock, start: .current, checkpoint: newestStep(configuration), steps: configuration.run.steps,
        keepsCopies: configuration.checkpoint.local != nil, log: log)
      record = Array(try JSONEncoder().encode(taken.record))
      lease = taken
    }
    record = try communicator.broadcast(record, root: 0)
    return try lease ?? .joined(path: lock, record: JSONDecoder().decode(RunLease.Record.self, from: Data(record)))
  }
}
