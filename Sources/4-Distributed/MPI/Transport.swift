/// What carries a communicator's operations: MPI, or the memory that ranks of one process share.
///
/// The seam below `Communicator`, which has checked what it hands down. All ranks of the group call the same methods in
/// the same order, with the same operation numbers; one thread of a rank at a time.
protocol Transport: AnyObject, Sendable {
  /// This rank's place in the group, in `0..<size`.
  var rank: Int { get }
  /// The number of ranks in the group.
  var size: Int { get }
  /// The ranks of the job that belong to the group, in the order of the group.
  var members: [Int] { get }

  /// Completes a collective.
  func perform(_ collective: Collective, _ operation: Operation) throws(MPIError)
  /// Starts a collective.
  ///
  /// - Parameter limit: the elements that one call of a transport with counts of limited size may carry.
  func start(_ collective: Collective, limit: Int, _ operation: Operation) throws(MPIError) -> any PendingOperation

  /// The same ranks with a message space of their own.
  func duplicate(name: String, _ operation: Operation) throws(MPIError) -> any Transport
  /// The ranks of this rank's color, by key, then by rank; nil without a color.
  func split(color: Int?, key: Int, name: String, _ operation: Operation) throws(MPIError) -> (any Transport)?
  /// The ranks that share this rank's memory.
  func splitByNode(name: String, _ operation: Operation) throws(MPIError) -> any Transport
}

/// A communicator's operation, as errors and the black box name it.
struct Operation: Sendable {
  /// The function's name in the MPI standard.
  let call: StaticString
  /// Its number in the communicator, from 1, the same on every rank.
  let number: UInt64
}

/// A nonblocking operation that a transport has under way; `Request` owns it and ends its life with one of these calls.
protocol PendingOperation: AnyObject {
  /// Returns when it is complete on this rank.
  func wait() throws(MPIError)
  /// Whether it is complete, moving it forward. Once it was, it stays so.
  func isComplete() throws(MPIError) -> Bool
  /// Completes it because its buffers are about to go; what cannot be completed must not touch them any more.
  func drop()
}
