public import MPI

extension Communicator {
  /// Whether this is rank 0 of the group: of the job, the one that writes records and speaks to people.
  public var isLeader: Bool { rank == 0 }
}
