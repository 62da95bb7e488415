import Foundation
import Support
import Synchronization

/// An append-only file. Its methods may be called from any thread.
///
/// What a full disk does not accept is buffered and written, in order, when there is space again. Training continues
/// meanwhile, but no checkpoint is committed, since it must not be ahead of its metrics.
public final class AppendedFile: Sendable {
  public let path: String
  private let descriptor: Int32
  private let state = Mutex(State())

  private struct State {
    /// Not written yet.
    var pending: [UInt8] = []
    var failure: ForgeError?
  }

  /// The max buffered bytes.
  private static let room = 64 << 20

  /// - Throws: `ForgeError.tryAgain` when the file cannot be opened or created.
  public init(path: String) throws {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw systemError("open", path) }
  }

  deinit { close(descriptor) }

  /// The error that left some lines unwritten; nil when all are written.
  public var failure: ForgeError? { state.withLock { $0.failure } }

  /// - Throws: `ForgeError.tryAgain` when writing fails and the buffer is full.
  public func append(_ line: String) throws { try append(Array(line.utf8)) }

  /// - Throws: `ForgeError.tryAgain` when writing fails and the buffer is full.
  public func append(_ bytes: [UInt8]) throws {
    state.withLock { $0.pending += bytes }
    flush()
    try state.withLock { state in
      if let failure = state.failure, state.pending.count > Self.room { throw failure }
    }
  }

  /// Writes as much of the buffer as the disk accepts.
  private func flush() {
    state.withLock { state in
      var written = 0
      state.failure = nil
      while written < state.pending.count {
        let count = state.pending[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
          state.failure = systemError("write", path)
          break
        }
        written += count
      }
      state.pending.removeFirst(written)
    }
  }

  /// Discards the buffer, for a job that has lost its lease.
  public func abandon() { state.withLock { $0.pending.removeAll() } }

  /// Truncates the file to `count` bytes.
  public func truncate(to count: Int) throws {
    guard ftruncate(descriptor, off_t(count)) == 0 else { throw systemError("write", path) }
  }

  /// Writes the buffer and syncs the file.
  public func synchronize() throws {
    flush()
    if let failure { throw failure }
    guard fsync(descriptor) == 0 else { throw systemError("synchronize", path) }
  }
}
