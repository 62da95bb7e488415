import Diagnostics
import Foundation
import MPI

/// The ranks' flight records of communicators and operations; every rank reads the records of all.
let blackBoxTests: [RankTest] = [
  RankTest("ranks give communicators the same numbers and operations the same sequence") { world, expectations in
    let folder = try sharedFolder(world)
    defer { removeShared(folder, world) }
    FlightRecorder.install(try FlightRecorder(folder: folder, rank: world.rank, ranks: world.size, attempt: 1))
    defer { FlightRecorder.install(nil) }
    let copy = try world.duplicate(name: "copy")
    let half = try world.split(color: world.rank % 2, key: -world.rank, name: "half")!
    for _ in 0...world.rank % 2 { try half.barrier() }  // the halves do not do the same number of things
    _ = try copy.allReduce(Int64(1), .sum)
    var values: [Double] = [1, 2]
    var span = values.mutableSpan
    let request = try copy.startAllReduce(&span, .sum)
    try world.barrier()
    let records = try FlightRecord.newest(in: folder)
    try world.barrier()
    try request.wait()
    try world.barrier()
    let later = try FlightRecord.newest(in: folder)
    try world.barrier()

    expectations.expectEqual(records.map(\.rank), Array(0..<world.size), "a record for each rank")
    let copies = records.flatMap(\.communicators).filter { $0.name == "copy" }
    expectations.expectEqual(Set(copies.map(\.id)).count, 1, "one duplicate")
    for copy in copies {
      expectations.expectEqual(copy.members, Array(0..<world.size), "members of a duplicate")
      expectations.expectEqual(copy.operations.map(\.sequence), [1, 2], "sequence")
      expectations.expectEqual(copy.operations.map(\.name), ["MPI_Allreduce", "MPI_Iallreduce"], "names")
      expectations.expectEqual(copy.operations.map(\.bytes), [8, 16], "bytes")
      expectations.expectEqual(copy.operations.map(\.isOpen), [false, true], "under way")
      expectations.expectEqual(copy.operations.map(\.isWaiting), [true, false], "nobody waits yet")
      expectations.expect(
        copy.operations[0].site.hasPrefix("mpi_tests/FlightRecorderTests.swift:"), copy.operations[0].site)
    }
    let halves = records.map { $0.communicators.first { $0.name == "half" } }
    for (rank, half) in halves.enumerated() {
      expectations.expectEqual(half?.members, (0..<world.size).filter { $0 % 2 == rank % 2 }, "members of a part")
      expectations.expectEqual(half?.id, halves[rank % 2]?.id, "number of a part")
      expectations.expectEqual(half?.operations.count, rank % 2 + 1, "operations of a part")
    }
    expectations.expectEqual(Set(halves.map { $0?.id }).count, min(2, world.size), "parts are told apart")
    let done = later.flatMap(\.communicators).filter { $0.name == "copy" }.map { $0.operations[1].isOpen }
    expectations.expectEqual(done, Array(repeating: false, count: world.size), "complete")
  }
]

/// Measures the cost of recording: an operation on one rank alone, and steps of an exact sum on all, each with and without.
func benchmarkBlackBox(_ world: Communicator) throws {
  let folder = try sharedFolder(world)
  defer { removeShared(folder, world) }
  let box = try FlightRecorder(folder: folder, rank: world.rank, ranks: world.size, attempt: 1)
  guard let alone = try world.split(color: world.rank), let ring = box.claim(id: 9, name: "bare", members: [0]) else {
    return
  }
  let count = 200_000
  func nanoseconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start) / .nanoseconds(1) / Double(count)
  }
  var bare = Double.infinity
  var (without, with) = (bare, bare)
  for _ in 0..<7 {
    bare = min(
      bare,
      nanoseconds {
        for sequence in 1...UInt64(count) {
          ring.enter("MPI_Allreduce", sequence: sequence, bytes: 8, file: #fileID, line: #line, waits: true).finish()
        }
      })
    FlightRecorder.install(nil)
    without = min(without, try nanoseconds { for _ in 0..<count { _ = try alone.allReduce(Int64(1), .sum) } })
    FlightRecorder.install(box)
    with = min(with, try nanoseconds { for _ in 0..<count { _ = try alone.allReduce(Int64(1), .sum) } })
  }
  if world.rank == 0 {
    print(
      String(
        format: "a record takes %.0f ns; an MPI_Allreduce of one rank %.0f ns without and %.0f ns with it", bare,
        without, with))
  }
  FlightRecorder.install(nil)
  try benchmarkSteps(world, box)
}

/// The median time of an exact sum in small units, of which each is several operations, in turn without and with.
private func benchmarkSteps(_ world: Communicator, _ box: FlightRecorder) throws {
  let count = 1 << 18
  let arenas = Arenas(count)
  let units = stride(from: 0, to: count, by: count / 16).map { $0..<$0 + count / 16 }
  let reducer = try arenas.reducer(world, units)
  var milliseconds: [[Double]] = [[], []]
  for round in 0..<400 {
    FlightRecorder.install(round % 2 == 0 ? nil : box)
    try world.barrier()
    let start = ContinuousClock.now
    for unit in units.indices { reducer.submit(unit: unit) }
    try reducer.wait()
    milliseconds[round % 2].append((ContinuousClock.now - start) / .milliseconds(1))
  }
  FlightRecorder.install(nil)
  let medians = milliseconds.map { $0.sorted()[$0.count / 2] }
  if world.rank == 0 {
    print(
      String(
        format: "a sum of %d elements in 16 pieces: %.3f ms without, %.3f ms with records, ratio %.4f", count,
        medians[0], medians[1], medians[1] / medians[0]))
  }
}

private func sharedFolder(_ world: Communicator) throws -> String {
  let mine = Array((NSTemporaryDirectory() + "forge-blackbox-" + UUID().uuidString).utf8)
  return String(decoding: try world.broadcast(mine, root: 0), as: UTF8.self)
}

private func removeShared(_ folder: String, _ world: Communicator) {
  if world.rank == 0 { try? FileManager.default.removeItem(atPath: folder) }
}
