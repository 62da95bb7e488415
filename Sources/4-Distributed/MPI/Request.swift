internal import Diagnostics
import Glibc

/// A nonblocking operation under way on memory that its caller keeps alive and leaves alone until `wait` returns.
///
/// It cannot be copied, and a request that is dropped before `wait` completes in its `deinit`: nothing is ever written to
/// memory that has been given back. Started from spans, operations return the safer `BorrowingRequest`.
public struct Request: ~Copyable {
  // Nil once nobody has to wait for it.
  private var pending: (any PendingOperation)?
  // The operation in the black box.
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

  /// Returns when the operation is complete on this rank; its buffers may then be used again.
  public consuming func wait() throws(MPIError) {
    let operation = pending
    pending = nil
    entry?.wait()
    try operation?.wait()
    entry?.finish()
  }

  /// Returns when the operation is complete, for a thread that must leave its core to others while it waits. Unless it is
  /// patient it moves the operation forward without a pause at first, as is best for a copy within a node; what takes longer
  /// waits for the network, and then it sleeps between looks.
  ///
  /// - Parameters:
  ///   - interval: the time between looks in microseconds.
  ///   - sleepsFirst: whether it sleeps from the beginning, because other ranks may start the operation much later.
  ///   - longest: that a patient wait sleeps; it may be late by an eighth of the time waited so far, if that is more than
  ///     the interval and not more than this.
  public consuming func wait(
    lookingEvery interval: UInt32, sleepsFirst: Bool = false, longest: UInt32? = nil
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
      pending = nil  // as it will never be complete, nobody must wait for it
      throw error
    }
    pending = nil
  }

  /// Lets go of an operation that will never be complete, because another one has failed: nobody waits for it.
  public consuming func abandon() { pending = nil }

  /// What copying a chunk within a node takes at most.
  private static let urgency = Duration.milliseconds(1)

  /// Whether the operation is complete, giving MPI a chance to move it forward.
  public mutating func isComplete() throws(MPIError) -> Bool {
    guard try pending?.isComplete() ?? true else { return false }
    entry?.finish()
    return true
  }
}

/// A nonblocking operation that borrows its spans: the compiler refuses to touch their memory, or let it go, while the
/// request exists.
public struct BorrowingRequest: ~Copyable, ~Escapable {
  private var request: Request

  @_lifetime(immortal)
  init(_ request: consuming Request) { self.request = request }

  /// Returns when the operation is complete on this rank.
  public consuming func wait() throws(MPIError) { try request.wait() }

  /// Whether the operation is complete, giving MPI a chance to move it forward.
  public mutating func isComplete() throws(MPIError) -> Bool { try request.isComplete() }
}
