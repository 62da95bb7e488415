/// The transport of a communicator's operations: MPI, or threads of one process.
///
/// `Communicator` has checked the arguments. All ranks of the group call the same methods in the same order, with the
/// same operation numbers; one thread of a rank at a time.
protocol Transport: AnyObject, Sendable {
  /// This process's rank in the group, in `0..<size`.
  var rank: Int { get }
  /// The number of ranks in the group.
  var size: Int { get }
  /// The world ranks of the group, in the order of the group.
  var members: [Int] { get }

  /// Runs a collective to completion.
  func perform(_ collective: Collective, _ operation: Operation) throws(MPIError)
  /// Starts a collective.
  ///
  /// - Parameter limit: max elements of one call, for a transport whose counts are limited.
  func start(_ collective: Collective, limit: Int, _ operation: Operation) throws(MPIError) -> any PendingOperation

  /// The same ranks with a separate message space.
  func duplicate(name: String, _ operation: Operation) throws(MPIError) -> any Transport
  /// The ranks of this rank's color, ordered by key, then by rank; nil without a color.
  func split(color: Int?, key: Int, name: String, _ operation: Operation) throws(MPIError) -> (any Transport)?
  /// The ranks of this rank's node.
  func splitByNode(name: String, _ operation: Operation) throws(MPIError) -> any Transport
}

/// A communicator's operation, as errors and the flight recorder name it.
struct Operation: Sendable {
  /// The function's name in the MPI standard.
  let call: StaticString
  /// Its sequence number in the communicator, from 1, the same on every rank.
  let number: UInt64
}

/// A pending nonblocking operation of a transport, owned by a `Request`.
protocol PendingOperation: AnyObject {
  /// Waits until it is complete on this rank.
  func wait() throws(MPIError)
  /// Tests whether it is complete, and progresses it. Stays true.
  func isComplete() throws(MPIError) -> Bool
  /// Completes it before its buffers are freed; an operation that cannot complete must not access them any more.
  func drop()
}
