internal import Diagnostics
internal import Support
import Synchronization

// Flight recording of a communicator: its name, its ranks, an identifier that is the same on all of them, and the begin
// and end of each operation. Without a flight recorder an operation costs two loads and a store.

extension Communicator {
  /// Runs a blocking operation and records its begin and end.
  ///
  /// - Parameters:
  ///   - call: the MPI function.
  ///   - bytes: the bytes that this rank contributes.
  func record<Result>(
    _ call: StaticString, bytes: @autoclosure () -> Int, _ file: StaticString, _ line: UInt32,
    _ body: (Operation) throws(MPIError) -> Result
  ) throws(MPIError) -> Result {
    let (operation, entry) = enter(call, bytes: bytes(), file, line, waits: true)
    let result = try body(operation)
    entry?.finish()
    return result
  }

  /// Assigns the next sequence number to an operation, the same on every rank, and records its begin when a flight
  /// recorder is installed.
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

  /// The index of the next communicator derived from this one.
  func nextChild() -> UInt64 { children.add(1, ordering: .relaxed).newValue }

  /// The identifier of a derived communicator: a hash, the same on all of its ranks.
  ///
  /// - Parameters:
  ///   - child: its index among those of its parent.
  ///   - first: its lowest world rank, which distinguishes the groups of one split.
  static func id(parent: UInt64, child: UInt64, first: Int) -> UInt64 {
    var hash = FNV1a(seed: parent &* 0x100_0000_01b3)
    hash.add(child)
    hash.add(UInt64(first))
    return hash.value
  }
}
