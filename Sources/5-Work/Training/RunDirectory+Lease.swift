import Checkpoints
import Foundation
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support

/// What all ranks do together before a run's directory is theirs.
extension RunDirectory {
  /// Where this node keeps copies of the run's checkpoints; nil where it should not.
  ///
  /// - Parameter run: the identity that the lease has; a new run in the place of a former one must not find its copies.
  func copiesPath(_ configuration: RunConfiguration, run: String?) -> String? {
    guard let local = configuration.checkpoint.local, let run else { return nil }
    return NodeLocalCheckpoints.path(local.folder, run: "\(configuration.run.name)-\(run.prefix(8))")
  }

  /// The newest step that there is something of, 0 when there is nothing.
  private func newestStep(_ configuration: RunConfiguration) -> Int {
    let copies = copiesPath(configuration, run: RunLease.read(lock)?.run).map { CheckpointFolder(path: $0) }
    return max(checkpoints.steps().last ?? 0, copies?.steps().last ?? 0)
  }

  /// Makes the directory and takes the lease on it for all ranks. Collective.
  ///
  /// - Parameter log: told when the job has to wait.
  /// - Throws: `ForgeError.badInput` when the directory cannot be written, or is another job's.
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
