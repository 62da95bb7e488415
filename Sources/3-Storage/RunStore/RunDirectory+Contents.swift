import Checkpoints
import Foundation
import Support

extension RunDirectory {
  /// The run's checkpoints, for reading.
  public var checkpoints: CheckpointFolder { CheckpointFolder(path: checkpointsPath) }

  /// The run's checkpoints, for writing, guarded by the lease.
  public func checkpoints(under lease: RunLease) -> CheckpointFolder {
    CheckpointFolder(path: checkpointsPath, files: GuardedFiles(check: lease.check))
  }

  /// Creates the directory.
  ///
  /// - Throws: `ForgeError.badInput` when that fails.
  public func make() throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ForgeError.badInput(
        "cannot make the run directory '\(path)': \(systemReason(of: error))", code: .system(error, else: .writeFailed),
        keyPath: "run.directory")
    }
    // Its name must survive a power failure as the checkpoints in it do.
    try? PosixFiles().synchronizeFolder(path.parentFolder)
  }

  /// Writes `config.yaml`.
  ///
  /// - Throws: `ForgeError.tryAgain` when that fails.
  public func write(configuration text: String) throws {
    do { try text.write(toFile: configuration, atomically: true, encoding: .utf8) } catch {
      throw ForgeError.tryAgain(
        "cannot write '\(configuration)': \(systemReason(of: error))", code: .system(error, else: .writeFailed))
    }
  }
}
