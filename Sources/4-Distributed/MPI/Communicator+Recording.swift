internal import Diagnostics
internal import Support
import Synchronization

// What the black box learns of a communicator: its name, ranks and a number that all of them give it, and each operation
// as it begins and ends. Without a black box an operation costs two loads and a store.

extension Communicator {
  /// Runs a blocking operation of this rank with a record of its beginning and its end.
  ///
  /// - Parameters:
  ///   - call: MPI's name for it.
  ///   - bytes: what this rank brings.
  func record<Result>(
    _ call: StaticString, bytes: @autoclosure () -> Int, _ file: StaticString, _ line: UInt32,
    _ body: (Operation) throws(MPIError) -> Result
  ) throws(MPIError) -> Result {
    let (operation, entry) = enter(call, bytes: bytes(), file, line, waits: true)
    let result = try body(operation)
    entry?.finish()
    return result
  }

  /// Numbers an operation that this rank begins, and records it when there is a black box; every rank's operations have
  /// the same numbers.
  func enter(
    _ call: StaticString, bytes: @autoclosure () -> Int, _ file: StaticString, _ line: UInt32, waits: Bool = false
  ) -> (Operation, FlightRecorder.Entry?) {
    // One thread at a time uses a communicator.
    let number = operations.load(ordering: .relaxed) + 1
    operations.store(number, ordering: .relaxed)
    let operation = Operation(call: call, number: number)
    guard FlightRecorder.isInstalled, let ring = currentRing() else { return (operation, nil) }
    return (operation, ring.enter(call, sequence: number, bytes: bytes(), file: file, line: line, waits: waits))
  }

  private func currentRing() -> FlightRecorder.Ring? {
    let address = ring.load(ordering: .relaxed)
    guard address == 0 else { return address == 1 ? nil : FlightRecorder.Ring(address: address) }
    let claimed = FlightRecorder.installed?.claim(id: id, name: name, members: members)
    ring.store(claimed?.address ?? 1, ordering: .relaxed)
    return claimed
  }

  func leaveBlackBox() {
    let address = ring.load(ordering: .relaxed)
    if address > 1 { FlightRecorder.Ring(address: address)?.release() }
  }

  // MARK: Identity

  static var worldID: UInt64 { 1 }

  /// The number of the next communicator that is made of this one.
  func nextChild() -> UInt64 { children.add(1, ordering: .relaxed).newValue }

  /// - Parameters:
  ///   - child: its number among its parent's.
  ///   - first: its lowest rank of the job, which tells groups of one split apart.
  static func id(parent: UInt64, child: UInt64, first: Int) -> UInt64 {
    var hash = FNV1a(seed: parent &* 0x100_0000_01b3)
    hash.add(child)
    hash.add(UInt64(first))
    return hash.value
  }
}
