internal import COpenMPI
import Glibc

/// A group of ranks that talk to each other and to nobody else (MPI 3.1, chapter 6).
///
/// The collectives in this module's extensions must be called by every rank of the group, in the same order. Two
/// threads of a rank may use two communicators at once, never the same one. Communicators made by `split` and
/// `duplicate` are freed when their last owner lets go of them.
public final class Communicator: Sendable {
  /// This process's place in the group, in `0..<size`.
  public let rank: Int
  /// The number of ranks in the group.
  public let size: Int

  // An opaque handle that never changes; MPI_THREAD_MULTIPLE makes using it from any thread the library's business.
  nonisolated(unsafe) let handle: MPI_Comm
  /// The largest number of elements handed to one MPI call, whose counts are 32-bit; more are sent in parts.
  let countLimit: Int
  private let isOwned: Bool

  /// Takes over `handle`, which the returned object frees when `isOwned`.
  init(handle: MPI_Comm, isOwned: Bool, countLimit: Int = Int(Int32.max)) throws(MPIError) {
    var rank: Int32 = 0
    var size: Int32 = 0
    // Every code is checked, so MPI must not end the process by itself.
    try check(MPI_Comm_set_errhandler(handle, forge_mpi_errors_return()), "MPI_Comm_set_errhandler")
    try check(MPI_Comm_rank(handle, &rank), "MPI_Comm_rank")
    try check(MPI_Comm_size(handle, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
    self.handle = handle
    self.isOwned = isOwned
    self.countLimit = countLimit
  }

  deinit {
    var finalized: Int32 = 0
    guard isOwned, MPI_Finalized(&finalized) == MPI_SUCCESS, finalized == 0 else { return }
    var handle: MPI_Comm? = self.handle
    MPI_Comm_free(&handle)  // nobody is left to hear of a failure
  }

  /// All ranks of the job. Valid between `MPI_Init` and `MPI_Finalize`.
  static func world() throws(MPIError) -> Communicator {
    try Communicator(handle: forge_mpi_comm_world(), isOwned: false)
  }

  /// The same ranks with a message space of their own, for instance for another thread. Collective.
  public func duplicate() throws(MPIError) -> Communicator {
    try duplicate(countLimit: countLimit)
  }

  /// A duplicate that sends at most `countLimit` elements in one call; tests use it to see large counts with small
  /// buffers.
  package func duplicate(countLimit: Int) throws(MPIError) -> Communicator {
    var copy: MPI_Comm?
    try check(MPI_Comm_dup(handle, &copy), "MPI_Comm_dup")
    return try Communicator(handle: copy ?? forge_mpi_comm_null(), isOwned: true, countLimit: countLimit)
  }

  /// Groups the ranks by `color`; within a group they are ordered by `key`, then by their present rank. Collective.
  ///
  /// - Parameter color: at least 0, or `nil` to be in no group.
  /// - Returns: this rank's group, or `nil` when `color` is.
  public func split(color: Int?, key: Int = 0) throws(MPIError) -> Communicator? {
    precondition(color.map { $0 >= 0 } ?? true, "a color is at least 0")
    let mpiColor = color.map { Int32($0) } ?? forge_mpi_undefined()
    var part: MPI_Comm?
    try check(MPI_Comm_split(handle, mpiColor, Int32(key), &part), "MPI_Comm_split")
    guard color != nil, let part else { return nil }
    return try Communicator(handle: part, isOwned: true, countLimit: countLimit)
  }

  /// The ranks that share this rank's node, for what is done once a node. Collective.
  public func splitByNode() throws(MPIError) -> Communicator {
    var part: MPI_Comm?
    let kind = Int32(MPI_COMM_TYPE_SHARED)
    try check(MPI_Comm_split_type(handle, kind, 0, forge_mpi_info_null(), &part), "MPI_Comm_split_type")
    return try Communicator(handle: part ?? forge_mpi_comm_null(), isOwned: true, countLimit: countLimit)
  }

  /// Returns when every rank has called it.
  public func barrier() throws(MPIError) {
    try check(MPI_Barrier(handle), "MPI_Barrier")
  }

  /// A barrier for a thread that must leave its core to others while it waits: it sleeps between looks.
  ///
  /// - Parameter interval: the time between looks in microseconds, which is also what the barrier may be late.
  public func barrier(lookingEvery interval: UInt32) throws(MPIError) {
    var request: MPI_Request?
    try check(MPI_Ibarrier(handle, &request), "MPI_Ibarrier")
    while true {
      var flag: Int32 = 0
      try check(MPI_Test(&request, &flag, forge_mpi_status_ignore()), "MPI_Test")
      if flag != 0 { return }
      usleep(interval)
    }
  }

  /// Whether one MPI call can carry, or address, `count` elements.
  func fits(_ count: Int) -> Bool { count <= countLimit }

  /// `0..<count` cut into ranges one call can carry; a single empty range when there is nothing, so that every rank
  /// makes the same number of calls.
  func parts(of count: Int) -> [Range<Int>] {
    guard count > countLimit else { return [0..<count] }
    return stride(from: 0, to: count, by: countLimit).map { $0..<min($0 + countLimit, count) }
  }
}
