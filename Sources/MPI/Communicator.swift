internal import COpenMPI
import Synchronization

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
  /// What the group is for, as the black box tells people.
  public let name: String
  /// The ranks of the job that belong to the group, in the order of the group.
  public let members: [Int]
  /// The same on all ranks of the group, and no other group's.
  let id: UInt64
  // How many communicators have been made of this one, and how many operations were begun on it: the same on all ranks,
  // because both are collective.
  let children = Atomic<UInt64>(0)
  let operations = Atomic<UInt64>(0)
  // The address of the ring in the black box; 0 before the first operation, 1 where there is no room.
  let ring = Atomic<UInt>(0)

  // An opaque handle that never changes; MPI_THREAD_MULTIPLE makes using it from any thread the library's business.
  nonisolated(unsafe) let handle: MPI_Comm
  /// The largest number of elements handed to one MPI call, whose counts are 32-bit; more are sent in parts.
  let countLimit: Int
  private let isOwned: Bool

  /// Takes over `handle`, which the returned object frees when `isOwned`.
  ///
  /// - Parameters:
  ///   - parent: the communicator that it was made of; nil for the world.
  ///   - hasSameMembers: whether it has its parent's.
  init(
    handle: MPI_Comm, isOwned: Bool, name: String, parent: Communicator?, hasSameMembers: Bool = false,
    countLimit: Int = Int(Int32.max)
  ) throws(MPIError) {
    var rank: Int32 = 0
    var size: Int32 = 0
    // Every code is checked, so MPI must not end the process by itself.
    try check(MPI_Comm_set_errhandler(handle, forge_mpi_errors_return()), "MPI_Comm_set_errhandler")
    try check(MPI_Comm_rank(handle, &rank), "MPI_Comm_rank")
    try check(MPI_Comm_size(handle, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
    self.name = name
    if let parent {
      members = hasSameMembers ? parent.members : try Self.members(of: handle, size: size)
      id = Self.id(parent: parent.id, child: parent.nextChild(), first: members.min() ?? 0)
    } else {
      members = Array(0..<Int(size))
      id = Self.worldID
    }
    self.handle = handle
    self.isOwned = isOwned
    self.countLimit = countLimit
  }

  deinit {
    leaveBlackBox()
    var finalized: Int32 = 0
    guard isOwned, MPI_Finalized(&finalized) == MPI_SUCCESS, finalized == 0 else { return }
    var handle: MPI_Comm? = self.handle
    MPI_Comm_free(&handle)  // nobody is left to hear of a failure
  }

  /// All ranks of the job. Valid between `MPI_Init` and `MPI_Finalize`.
  static func world() throws(MPIError) -> Communicator {
    try Communicator(handle: forge_mpi_comm_world(), isOwned: false, name: "world", parent: nil)
  }

  /// The same ranks with a message space of their own, for instance for another thread. Collective.
  ///
  /// - Parameter name: what it is for, the same on all ranks; nil is this one's name.
  public func duplicate(name: String? = nil) throws(MPIError) -> Communicator {
    try duplicate(name: name, countLimit: countLimit)
  }

  /// A duplicate that sends at most `countLimit` elements in one call; tests use it to see large counts with small
  /// buffers.
  package func duplicate(name: String? = nil, countLimit: Int) throws(MPIError) -> Communicator {
    var copy: MPI_Comm?
    try record("MPI_Comm_dup", bytes: 0, #fileID, #line) { MPI_Comm_dup(handle, &copy) }
    return try Communicator(
      handle: copy ?? forge_mpi_comm_null(), isOwned: true, name: name ?? self.name, parent: self, hasSameMembers: true,
      countLimit: countLimit)
  }

  /// Groups the ranks by `color`; within a group they are ordered by `key`, then by their present rank. Collective.
  ///
  /// - Parameters:
  ///   - color: at least 0, or `nil` to be in no group.
  ///   - name: what the groups are for; nil is this one's name.
  /// - Returns: this rank's group, or `nil` when `color` is.
  public func split(color: Int?, key: Int = 0, name: String? = nil) throws(MPIError) -> Communicator? {
    precondition(color.map { $0 >= 0 } ?? true, "a color is at least 0")
    let mpiColor = color.map { Int32($0) } ?? forge_mpi_undefined()
    var part: MPI_Comm?
    try record("MPI_Comm_split", bytes: 0, #fileID, #line) { MPI_Comm_split(handle, mpiColor, Int32(key), &part) }
    guard color != nil, let part else {
      _ = nextChild()
      return nil
    }
    return try Communicator(
      handle: part, isOwned: true, name: name ?? self.name, parent: self, countLimit: countLimit)
  }

  /// The ranks that share this rank's node, for what is done once a node. Collective.
  public func splitByNode() throws(MPIError) -> Communicator {
    var part: MPI_Comm?
    let kind = Int32(MPI_COMM_TYPE_SHARED)
    try record("MPI_Comm_split_type", bytes: 0, #fileID, #line) {
      MPI_Comm_split_type(handle, kind, 0, forge_mpi_info_null(), &part)
    }
    return try Communicator(
      handle: part ?? forge_mpi_comm_null(), isOwned: true, name: "node", parent: self, countLimit: countLimit)
  }

  /// Returns when every rank has called it.
  public func barrier(file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError) {
    try record("MPI_Barrier", bytes: 0, file, line) { MPI_Barrier(handle) }
  }

  /// A barrier for a thread that must leave its core to others while it waits: it sleeps between looks.
  ///
  /// - Parameter interval: the time between looks in microseconds, which is also what the barrier may be late.
  public func barrier(lookingEvery interval: UInt32, file: StaticString = #fileID, line: UInt32 = #line)
    throws(MPIError)
  {
    try startBarrier(file: file, line: line).wait(lookingEvery: interval, isPatient: true)
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
