import Checkpoints
import Diagnostics
import Foundation

/// The files of a run, and who may write them.
struct RunDirectory {
  let path: String

  var configuration: String { path + "/config.yaml" }
  var metrics: String { path + "/metrics.jsonl" }
  var log: String { path + "/train.log" }
  var lock: String { path + "/.lock" }
  var checkpoints: CheckpointFolder { CheckpointFolder(path: path + "/checkpoints") }

  /// Makes the directory and takes its lock, so that a second job cannot write into the same run. The lock goes with the
  /// process.
  ///
  /// - Throws: `ForgeError.badInput` when the directory cannot be written or another process holds it.
  func open() throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ForgeError.badInput("cannot make the run directory '\(path)': \(systemReason(of: error))")
    }
    let descriptor = Glibc.open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw ForgeError.badInput("cannot write to the run directory '\(path)': \(String(cString: strerror(errno)))")
    }
    // A file system without locks (ENOSYS, ENOLCK) cannot protect the run, which is no reason not to train.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
      throw ForgeError.badInput("another job is writing to the run directory '\(path)'; wait for it or choose another")
    }
  }

  func write(configuration text: String) throws {
    do { try text.write(toFile: configuration, atomically: true, encoding: .utf8) } catch {
      throw ForgeError.tryAgain("cannot write '\(configuration)': \(systemReason(of: error))")
    }
  }
}
