import Diagnostics
import Foundation

/// A file that grows by whole lines. Its methods may be called from any thread.
final class AppendedFile: Sendable {
  let path: String
  private let descriptor: Int32

  /// - Throws: `ForgeError.tryAgain` when the file cannot be opened or made.
  init(path: String) throws {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw systemError("open", path) }
  }

  deinit { close(descriptor) }

  /// - Throws: `ForgeError.tryAgain`, for example on a full disk; a part of the line may be written then.
  func append(_ line: String) throws {
    var rest = Array(line.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw systemError("write", path) }
      rest = rest.dropFirst(count)
    }
  }

  /// Drops what is beyond so many bytes.
  func truncate(to count: Int) throws {
    guard ftruncate(descriptor, off_t(count)) == 0 else { throw systemError("write", path) }
  }

  /// Returns once every line is on the disk.
  func synchronize() throws {
    guard fsync(descriptor) == 0 else { throw systemError("synchronize", path) }
  }
}

/// `cannot write 'runs/x/metrics.jsonl': No space left on device`, from the last system call's `errno`.
func systemError(_ action: String, _ path: String) -> ForgeError {
  ForgeError.tryAgain("cannot \(action) '\(path)': \(String(cString: strerror(errno)))")
}
