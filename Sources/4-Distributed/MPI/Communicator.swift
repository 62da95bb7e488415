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

  let transport: any Transport
  /// The largest number of elements handed to one MPI call, whose counts are 32-bit; more are sent in parts.
  let countLimit: Int

  /// - Parameters:
  ///   - transport: this communicator's own.
  ///   - parent: the communicator that it was made of; nil for the world.
  init(
    _ transport: any Transport, name: String, parent: Communicator?, countLimit: Int = Int(Int32.max)
  ) {
    self.transport = transport
    self.name = name
    self.countLimit = countLimit
    (rank, size, members) = (transport.rank, transport.size, transport.members)
    id =
      parent.map { Self.id(parent: $0.id, child: $0.nextChild(), first: transport.members.min() ?? 0) } ?? Self.worldID
  }

  deinit { leaveBlackBox() }

  /// The same ranks with a message space of their own, for instance for another thread. Collective.
  ///
  /// - Parameter name: what it is for, the same on all ranks; nil is this one's name.
  public func duplicate(name: String? = nil) throws(MPIError) -> Communicator {
    try duplicate(name: name, countLimit: countLimit)
  }

  /// A duplicate that sends at most `countLimit` elements in one call; tests use it to see large counts with small
  /// buffers.
  package func duplicate(name: String? = nil, countLimit: Int) throws(MPIError) -> Communicator {
    let name = name ?? self.name
    let copy = try record("MPI_Comm_dup", bytes: 0, #fileID, #line) { operation throws(MPIError) in
      try transport.duplicate(name: name, operation)
    }
    return Communicator(copy, name: name, parent: self, countLimit: countLimit)
  }

  /// Groups the ranks by `color`; within a group they are ordered by `key`, then by their present rank. Collective.
  ///
  /// - Parameters:
  ///   - color: at least 0, or `nil` to be in no group.
  ///   - name: what the groups are for; nil is this one's name.
  /// - Returns: this rank's group, or `nil` when `color` is.
  public func split(color: Int?, key: Int = 0, name: String? = nil) throws(MPIError) -> Communicator? {
    precondition(color.map { $0 >= 0 } ?? true, "a color is at least 0")
    let name = name ?? self.name
    let part = try record("MPI_Comm_split", bytes: 0, #fileID, #line) { operation throws(MPIError) in
      try transport.split(color: color, key: key, name: name, operation)
    }
    guard let part else {
      _ = nextChild()
      return nil
    }
    return Communicator(part, name: name, parent: self, countLimit: countLimit)
  }

  /// The ranks that share this rank's node, for what is done once a node. Collective.
  public func splitByNode() throws(MPIError) -> Communicator {
    let part = try record("MPI_Comm_split_type", bytes: 0, #fileID, #line) { operation throws(MPIError) in
      try transport.splitByNode(name: "node", operation)
    }
    return Communicator(part, name: "node", parent: self, countLimit: countLimit)
  }

  /// Returns when every rank has called it.
  public func barrier(file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError) {
    try perform(.barrier, file, line)
  }

  /// A barrier for a thread that must leave its core to others while it waits: it sleeps between looks.
  ///
  /// - Parameter interval: the time between looks in microseconds, which is also what the barrier may be late.
  public func barrier(lookingEvery interval: UInt32, file: StaticString = #fileID, line: UInt32 = #line)
    throws(MPIError)
  {
    try startBarrier(file: file, line: line).wait(lookingEvery: interval, sleepsFirst: true)
  }

  // MARK: The transport's

  /// Completes a collective: in one call, or, where MPI's counts do not suffice, as the nonblocking form, which knows how
  /// to cut it up, waited for at once.
  func perform(_ collective: Collective, _ file: StaticString, _ line: UInt32) throws(MPIError) {
    guard let call = collective.blockingCall, !collective.needsParts(limit: countLimit, ranks: size) else {
      return try start(collective, file, line).wait()
    }
    try record(call, bytes: collective.bytes(rank: rank, ranks: size), file, line) { operation throws(MPIError) in
      try transport.perform(collective, operation)
    }
  }

  /// Starts a collective.
  func start(_ collective: Collective, _ file: StaticString, _ line: UInt32) throws(MPIError) -> Request {
    let inParts = collective.needsParts(limit: countLimit, ranks: size)
    let (operation, entry) = enter(
      collective.nonblockingCall(inParts: inParts), bytes: collective.bytes(rank: rank, ranks: size), file, line)
    return Request(try transport.start(collective, limit: countLimit, operation), entry)
  }
}
