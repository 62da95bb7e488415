internal import COpenMPI
internal import Diagnostics
import Glibc
import Synchronization

// What the black box learns of a communicator: its name, ranks and a number that all of them give it, and each operation
// as it begins and ends. Without a black box an operation costs two loads and a store.

extension Communicator {
  /// Runs a blocking operation of this rank with a record of its beginning and its end.
  ///
  /// - Parameters:
  ///   - operation: MPI's name for it.
  ///   - bytes: what this rank brings.
  ///   - call: makes the call and returns its code.
  func record(
    _ operation: StaticString, bytes: Int, _ file: StaticString, _ line: UInt32, _ call: () -> Int32
  ) throws(MPIError) {
    let entry = enter(operation, bytes: bytes, file, line, waits: true)
    try check(call(), operation)
    entry?.finish()
  }

  /// Records that this rank begins an operation, when there is a black box; every rank's operations have the same
  /// numbers.
  func enter(
    _ operation: StaticString, bytes: Int, _ file: StaticString, _ line: UInt32, waits: Bool = false
  ) -> BlackBox.Entry? {
    // One thread at a time uses a communicator.
    let sequence = operations.load(ordering: .relaxed) + 1
    operations.store(sequence, ordering: .relaxed)
    guard BlackBox.isInstalled, let ring = currentRing() else { return nil }
    return ring.enter(operation, sequence: sequence, bytes: bytes, file: file, line: line, waits: waits)
  }

  private func currentRing() -> BlackBox.Ring? {
    let address = ring.load(ordering: .relaxed)
    guard address == 0 else { return address == 1 ? nil : BlackBox.Ring(address: address) }
    let claimed = BlackBox.installed?.claim(id: id, name: name, members: members)
    ring.store(claimed?.address ?? 1, ordering: .relaxed)
    return claimed
  }

  func leaveBlackBox() {
    let address = ring.load(ordering: .relaxed)
    if address > 1 { BlackBox.Ring(address: address)?.release() }
  }

  // MARK: Identity

  static var worldID: UInt64 { 1 }

  /// The number of the next communicator that is made of this one.
  func nextChild() -> UInt64 { children.add(1, ordering: .relaxed).newValue }

  /// - Parameters:
  ///   - child: its number among its parent's.
  ///   - first: its lowest rank of the job, which tells groups of one split apart.
  static func id(parent: UInt64, child: UInt64, first: Int) -> UInt64 {
    // FNV-1a, by words
    [child, UInt64(first)].reduce(0xcbf2_9ce4_8422_2325 ^ parent &* 0x100_0000_01b3) {
      ($0 ^ $1) &* 0x100_0000_01b3
    }
  }

  /// The ranks of the job that belong to `handle`.
  static func members(of handle: MPI_Comm, size: Int32) throws(MPIError) -> [Int] {
    var group: MPI_Group?
    var world: MPI_Group?
    try check(MPI_Comm_group(handle, &group), "MPI_Comm_group")
    try check(MPI_Comm_group(forge_mpi_comm_world(), &world), "MPI_Comm_group")
    defer {
      MPI_Group_free(&group)
      MPI_Group_free(&world)
    }
    let own = Array(0..<size)
    var ranks = own
    try check(MPI_Group_translate_ranks(group, size, own, world, &ranks), "MPI_Group_translate_ranks")
    return ranks.map { Int($0) }
  }
}
