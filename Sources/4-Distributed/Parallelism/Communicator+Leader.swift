public import MPI

extension Communicator {
  /// Whether this is rank 0 of the group; in the world, the rank that writes records and logs.
  public var isLeader: Bool { rank == 0 }
}
