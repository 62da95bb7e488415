internal import COpenMPI
internal import Diagnostics
import Glibc

/// A nonblocking operation under way on memory that its caller keeps alive and leaves alone until `wait` returns.
///
/// It cannot be copied, and a request that is dropped before `wait` completes in its `deinit`: MPI never writes to
/// memory that has been given back. Started from spans, operations return the safer `BorrowingRequest`.
public struct Request: ~Copyable {
  private var parts: [MPI_Request?] = []
  // Count arrays that MPI reads until the operation is complete.
  private let layouts: [Layout]
  // The operation in the black box.
  private let entry: BlackBox.Entry?

  init(keeping layouts: [Layout] = [], entry: BlackBox.Entry?) {
    self.layouts = layouts
    self.entry = entry
  }

  deinit {
    guard !parts.isEmpty else { return }
    do {
      try Request.complete(parts, entry)
    } catch {
      // Its buffers may go, and the error that dropped it is another one's consequence.
      endProcess(.tryAgain("an exchange that was under way could not be completed: \(error)"))
    }
  }

  /// Starts one more part.
  mutating func add(_ call: StaticString, _ start: (UnsafeMutablePointer<MPI_Request?>) -> Int32) throws(MPIError) {
    var part: MPI_Request? = forge_mpi_request_null()
    try check(start(&part), call)
    parts.append(part)
  }

  /// Returns when the operation is complete on this rank; its buffers may then be used again.
  public consuming func wait() throws(MPIError) {
    let pending = parts
    parts = []
    try Request.complete(pending, entry)
  }

  /// Returns when the operation is complete, for a thread that must leave its core to others while it waits. Unless it is
  /// patient it moves the operation forward without a pause at first, as is best for a copy within a node; what takes longer
  /// waits for the network, and then it sleeps between looks.
  ///
  /// - Parameters:
  ///   - interval: the time between looks in microseconds.
  ///   - isPatient: whether it sleeps from the beginning, because other ranks may start the operation much later.
  ///   - longest: that a patient wait sleeps; it may be late by an eighth of the time waited so far, if that is more than
  ///     the interval and not more than this.
  public consuming func wait(
    lookingEvery interval: UInt32, isPatient: Bool = false, longest: UInt32? = nil
  ) throws(MPIError) {
    let start = ContinuousClock.now
    entry?.wait()
    do throws(MPIError) {
      while try !isComplete() {
        let waited = ContinuousClock.now - start
        if isPatient {
          usleep(max(interval, UInt32(min(waited / .microseconds(8), Double(longest ?? interval)))))
        } else if waited > Self.impatience {
          usleep(interval)
        } else {
          sched_yield()
        }
      }
    } catch {
      parts = []  // as it will never be complete, nobody must wait for it
      throw error
    }
    parts = []
  }

  /// Lets go of an operation that will never be complete, because another one has failed: nobody waits for it.
  public consuming func abandon() { parts = [] }

  /// What copying a chunk within a node takes at most.
  private static let impatience = Duration.milliseconds(1)

  /// Whether the operation is complete, giving MPI a chance to move it forward.
  public mutating func isComplete() throws(MPIError) -> Bool {
    var flag: Int32 = 0
    try check(MPI_Testall(Int32(parts.count), &parts, &flag, forge_mpi_statuses_ignore()), "MPI_Testall")
    if flag != 0 { entry?.finish() }
    return flag != 0
  }

  private static func complete(_ parts: [MPI_Request?], _ entry: BlackBox.Entry?) throws(MPIError) {
    var parts = parts
    entry?.wait()
    try check(MPI_Waitall(Int32(parts.count), &parts, forge_mpi_statuses_ignore()), "MPI_Waitall")
    entry?.finish()
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
