import Checkpoints
import Foundation
import Support

extension RunDirectory {
  /// Its checkpoints, for reading.
  public var checkpoints: CheckpointFolder { CheckpointFolder(path: checkpointsPath) }

  /// Its checkpoints, for writing, as long as the lease is this job's.
  public func checkpoints(under lease: RunLease) -> CheckpointFolder {
    CheckpointFolder(path: checkpointsPath, files: GuardedFiles(check: lease.check))
  }

  /// Makes the directory.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be.
  public func make() throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ForgeError.badInput("cannot make the run directory '\(path)': \(systemReason(of: error))")
    }
    // Its name must outlast a power failure as the checkpoints in it do.
    try? PosixFiles().synchronizeFolder(path.parentFolder)
  }

  /// Writes `config.yaml`.
  ///
  /// - Throws: `ForgeError.tryAgain` when it cannot be.
  public func write(configuration text: String) throws {
    do { try text.write(toFile: configuration, atomically: true, encoding: .utf8) } catch {
      throw ForgeError.tryAgain("cannot write '\(configuration)': \(systemReason(of: error))")
    }
  }
}
