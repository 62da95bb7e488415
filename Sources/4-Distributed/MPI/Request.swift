internal import Diagnostics
import Glibc

/// A request: a pending nonblocking operation, whose buffers the caller keeps alive and untouched until `wait` returns.
///
/// It cannot be copied, and one dropped before `wait` completes in its `deinit`, so that MPI never writes to freed
/// memory. Operations started from spans return the safer `BorrowingRequest`.
public struct Request: ~Copyable {
  // Nil once complete or abandoned.
  private var pending: (any PendingOperation)?
  // The operation in the flight recorder.
  private let entry: FlightRecorder.Entry?

  init(_ pending: any PendingOperation, _ entry: FlightRecorder.Entry?) {
    self.pending = pending
    self.entry = entry
  }

  deinit {
    guard let pending else { return }
    entry?.wait()
    pending.drop()
    entry?.finish()
  }

  /// Waits until the operation is complete on this rank; its buffers may then be used again.
  public consuming func wait() throws(MPIError) {
    let operation = pending
    pending = nil
    entry?.wait()
    try operation?.wait()
    entry?.finish()
  }

  /// Waits until the operation is complete by polling, for a thread that must leave its core to others. It polls
  /// without a pause for the first millisecond, as is best for a copy within a node, and then sleeps between polls.
  ///
  /// - Parameters:
  ///   - interval: the polling interval in microseconds.
  ///   - sleepsFirst: whether it sleeps from the beginning, because other ranks may start the operation much later.
  ///   - longest: max sleep with `sleepsFirst`, in microseconds: a sleep is an eighth of the time waited so far, at
  ///     least `interval` and at most this.
  public consuming func wait(
    pollingEvery interval: UInt32, sleepsFirst: Bool = false, longest: UInt32? = nil
  ) throws(MPIError) {
    let start = ContinuousClock.now
    entry?.wait()
    do throws(MPIError) {
      while try !isComplete() {
        let waited = ContinuousClock.now - start
        if sleepsFirst {
          usleep(max(interval, UInt32(min(waited / .microseconds(8), Double(longest ?? interval)))))
        } else if waited > Self.urgency {
          usleep(interval)
        } else {
          sched_yield()
        }
      }
    } catch {
      pending = nil  // it will never be complete, so `deinit` must not wait for it
      throw error
    }
    pending = nil
  }

  /// Abandons an operation that will never be complete because another one has failed: `deinit` does not wait for it.
  public consuming func abandon() { pending = nil }

  /// How long it polls without a pause: the max time of a chunk's copy within a node.
  private static let urgency = Duration.milliseconds(1)

  /// Tests whether the operation is complete, and progresses it.
  public mutating func isComplete() throws(MPIError) -> Bool {
    guard try pending?.isComplete() ?? true else { return false }
    entry?.finish()
    return true
  }
}

/// A request that borrows its spans: the compiler rejects access to their memory, and its release, while the request
/// exists.
public struct BorrowingRequest: ~Copyable, ~Escapable {
  private var request: Request

  @_lifetime(immortal)
  init(_ request: consuming Request) { self.request = request }

  /// Waits until the operation is complete on this rank.
  public consuming func wait() throws(MPIError) { try request.wait() }

  /// Tests whether the operation is complete, and progresses it.
  public mutating func isComplete() throws(MPIError) -> Bool { try request.isComplete() }
}
