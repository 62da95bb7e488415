import Checkpoints
import Diagnostics
import Foundation
import MPI
import Parallelism
import Settings

/// The files of a run.
struct RunDirectory {
  let path: String

  var configuration: String { path + "/config.yaml" }
  var metrics: String { path + "/metrics.jsonl" }
  var ledger: String { path + "/ledger.jsonl" }
  var log: String { path + "/train.log" }
  var lock: String { path + "/.lock" }
  var sources: String { "\(path)/\(SourceMemory.fileName)" }
  /// For reading.
  var checkpoints: CheckpointFolder { CheckpointFolder(path: path + "/checkpoints") }
  /// For writing, as long as the lease is this job's.
  func checkpoints(under lease: RunLease) -> CheckpointFolder {
    CheckpointFolder(path: checkpoints.path, files: GuardedFiles(check: lease.check))
  }

  /// Where this node keeps copies of the run's checkpoints; nil where it should not.
  ///
  /// - Parameter run: the identity that the lease has; a new run in the place of a former one must not find its copies.
  func copiesPath(_ configuration: RunConfiguration, run: String?) -> String? {
    guard let local = configuration.checkpoint.local, let run else { return nil }
    return LocalCopies.path(local.folder, run: "\(configuration.run.name)-\(run.prefix(8))")
  }

  /// The newest step that there is something of, 0 when there is nothing.
  private func newestStep(_ configuration: RunConfiguration) -> Int {
    let copies = copiesPath(configuration, run: RunLease.read(lock)?.run).map { CheckpointFolder(path: $0) }
    return max(checkpoints.steps().last ?? 0, copies?.steps().last ?? 0)
  }

  /// Makes the directory and takes the lease on it for all ranks. Collective.
  ///
  /// - Parameter say: told when the job has to wait.
  /// - Throws: `ForgeError.badInput` when the directory cannot be written, or is another job's.
  func lease(
    _ configuration: RunConfiguration, communicator: Communicator, say: (String) -> Void
  ) throws -> RunLease {
    var lease: RunLease?
    var record: [UInt8] = []
    try communicator.together {
      guard communicator.isLeader else { return }
      try make()
      let taken = try RunLease.acquire(
        path: lock, start: .current, checkpoint: newestStep(configuration),
        keepsCopies: configuration.checkpoint.local != nil, say: say)
      record = Array(try JSONEncoder().encode(taken.record))
      lease = taken
    }
    record = try communicator.broadcast(record, root: 0)
    return try lease ?? .joined(path: lock, record: JSONDecoder().decode(RunLease.Record.self, from: Data(record)))
  }

  private func make() throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ForgeError.badInput("cannot make the run directory '\(path)': \(systemReason(of: error))")
    }
    // Its name must outlast a power failure as the checkpoints in it do.
    try? PosixFiles().synchronizeFolder(path.parentFolder)
  }

  func write(configuration text: String) throws {
    do { try text.write(toFile: configuration, atomically: true, encoding: .utf8) } catch {
      throw ForgeError.tryAgain("cannot write '\(configuration)': \(systemReason(of: error))")
    }
  }
}
