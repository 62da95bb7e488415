import Synchronization

/// A communicator: a group of ranks with a message space of its own (MPI 3.1, chapter 6).
///
/// The collectives in this module's extensions must be called by every rank of the group, in the same order. Two
/// threads of a rank may use two communicators at once, never the same one. Communicators made by `split`,
/// `splitByNode` and `duplicate` are freed with their last reference.
public final class Communicator: Sendable {
  /// This process's rank in the group, in `0..<size`.
  public let rank: Int
  /// The number of ranks in the group.
  public let size: Int
  /// What the group is for, as the flight recorder reports it.
  public let name: String
  /// The world ranks of the group, in the order of the group.
  public let members: [Int]
  /// The group's identifier (a 64-bit hash), the same on all of its ranks.
  let id: UInt64
  // The numbers of communicators derived from this one and of operations begun on it: the same on all ranks, because
  // both are collective.
  let children = Atomic<UInt64>(0)
  let operations = Atomic<UInt64>(0)
  // The address of the ring in the flight recorder; 0 before the first operation, 1 where no ring is free.
  let ring = Atomic<UInt>(0)

  let transport: any Transport
  /// The max number of elements of one MPI call, whose counts are 32-bit; larger operations are split into parts.
  let countLimit: Int

  /// - Parameters:
  ///   - transport: owned by this communicator.
  ///   - parent: the communicator it is derived from; nil for the world.
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

  /// Duplicates the communicator: the same ranks with a separate message space, for instance for another thread.
  /// Collective.
  ///
  /// - Parameter name: what it is for, the same on all ranks; nil keeps this one's name.
  public func duplicate(name: String? = nil) throws(MPIError) -> Communicator {
    try duplicate(name: name, countLimit: countLimit)
  }

  /// A duplicate that transfers at most `countLimit` elements in one call; tests use it to cover large counts with
  /// small buffers.
  package func duplicate(name: String? = nil, countLimit: Int) throws(MPIError) -> Communicator {
    let name = name ?? self.name
    let copy = try record("MPI_Comm_dup", bytes: 0, #fileID, #line) { operation throws(MPIError) in
      try transport.duplicate(name: name, operation)
    }
    return Communicator(copy, name: name, parent: self, countLimit: countLimit)
  }

  /// Splits the communicator by `color`; ranks of a group are ordered by `key`, then by their rank here. Collective.
  ///
  /// - Parameters:
  ///   - color: at least 0, or `nil` to be in no group.
  ///   - name: what the groups are for; nil keeps this one's name.
  /// - Returns: this rank's group; `nil` without a color.
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

  /// Splits the communicator by node and returns the ranks of this rank's node. Collective.
  public func splitByNode() throws(MPIError) -> Communicator {
    let part = try record("MPI_Comm_split_type", bytes: 0, #fileID, #line) { operation throws(MPIError) in
      try transport.splitByNode(name: "node", operation)
    }
    return Communicator(part, name: "node", parent: self, countLimit: countLimit)
  }

  /// Barrier: returns when every rank has called it.
  public func barrier(file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError) {
    try perform(.barrier, file, line)
  }

  /// A barrier that sleeps between polls, for a thread that must not occupy a core while it waits.
  ///
  /// - Parameter interval: the polling interval in microseconds, which is also how late the barrier may return.
  public func barrier(pollingEvery interval: UInt32, file: StaticString = #fileID, line: UInt32 = #line)
    throws(MPIError)
  {
    try startBarrier(file: file, line: line).wait(pollingEvery: interval, sleepsFirst: true)
  }

  // MARK: Transport

  /// Runs a collective to completion: in one blocking call, or, where there is none or MPI's counts do not suffice, by
  /// the nonblocking form, which splits it into parts.
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
