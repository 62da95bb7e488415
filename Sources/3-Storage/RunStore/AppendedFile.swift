import Foundation
import Support
import Synchronization

/// A file that grows by whole lines. Its methods may be called from any thread.
///
/// What a full disk does not take is kept, in order, and written as soon as there is room again: training goes on
/// meanwhile, but no checkpoint, which must not be ahead of its metrics.
public final class AppendedFile: Sendable {
  public let path: String
  private let descriptor: Int32
  private let state = Mutex(State())

  private struct State {
    /// Not written yet.
    var pending: [UInt8] = []
    var failure: ForgeError?
  }

  /// Bytes that are kept at most.
  private static let room = 64 << 20

  /// - Throws: `ForgeError.tryAgain` when the file cannot be opened or made.
  public init(path: String) throws {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw systemError("open", path) }
  }

  deinit { close(descriptor) }

  /// Why some lines are not written yet; nil when all are.
  public var failure: ForgeError? { state.withLock { $0.failure } }

  /// - Throws: `ForgeError.tryAgain` when the disk has taken nothing for so long that no more lines can be kept.
  public func append(_ line: String) throws { try append(Array(line.utf8)) }

  /// - Throws: `ForgeError.tryAgain` when the disk has taken nothing for so long that no more can be kept.
  public func append(_ bytes: [UInt8]) throws {
    state.withLock { $0.pending += bytes }
    flush()
    try state.withLock { state in
      if let failure = state.failure, state.pending.count > Self.room { throw failure }
    }
  }

  /// Writes what it can.
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

  /// Forgets what is not written yet, for a job that may write no more.
  public func abandon() { state.withLock { $0.pending.removeAll() } }

  /// Drops what is beyond so many bytes.
  public func truncate(to count: Int) throws {
    guard ftruncate(descriptor, off_t(count)) == 0 else { throw systemError("write", path) }
  }

  /// Returns once every line is on the disk.
  public func synchronize() throws {
    flush()
    if let failure { throw failure }
    guard fsync(descriptor) == 0 else { throw systemError("synchronize", path) }
  }
}
