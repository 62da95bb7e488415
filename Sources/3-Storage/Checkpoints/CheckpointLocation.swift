import Foundation
import Support

/// A user's path resolved to all checkpoints of a run, or to one of them.
public enum CheckpointLocation: Sendable {
  case all(CheckpointFolder)
  case one(path: String)

  /// - Parameter path: a run's folder, its `checkpoints` folder, a `latest` file or a checkpoint.
  /// - Throws: `ForgeError.badInput` when there is nothing of that kind.
  public init(path: String) throws {
    func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
    let name = (path as NSString).lastPathComponent
    if exists("\(path)/\(CheckpointManifest.fileName)") || (exists(path) && CheckpointFolder.step(name: name) != nil) {
      self = .one(path: path)
      return
    }
    if name == CheckpointFolder.latestName, exists(path) {
      self = .one(path: try CheckpointReader.resolve(path))
      return
    }
    for folder in [RunDirectory(path: path).checkpointsPath, path].map({ CheckpointFolder(path: $0) })
    where !folder.steps().isEmpty || !folder.leftovers().isEmpty || exists(folder.latest) {
      self = .all(folder)
      return
    }
    guard exists(path) else {
      throw ForgeError.badInput("there is no run or checkpoint '\(path)'", code: .fileNotFound)
    }
    throw ForgeError.badInput(
      "there are no checkpoints in '\(path)'", hint: "name a run, its checkpoints folder or a checkpoint",
      code: .wrongKind)
  }
}

/// The lock of a run's files, which a training process holds as long as it lives.
public final class RunLock {
  private let descriptor: Int32

  /// - Parameter folder: the run's `checkpoints` folder. A run without a lock file is unlocked.
  /// - Throws: `ForgeError.tryAgain` when a training process is writing to the run.
  public init(of folder: CheckpointFolder) throws {
    let run = RunDirectory(path: URL(filePath: folder.path).deletingLastPathComponent().path)
    descriptor = open(run.lock, O_RDWR | O_CLOEXEC)
    if descriptor < 0, errno != ENOENT { throw systemError("open", run.lock) }
    // A file system without locks (ENOSYS, ENOLCK) cannot protect the run.
    if descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
      close(descriptor)
      throw ForgeError.tryAgain("a job is writing to the run '\(run.path)'", hint: "wait for its end", code: .runInUse)
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }
}
