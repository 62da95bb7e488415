import Diagnostics
import Glibc
import Kernels
import MPI
import Parallelism

// The exact sum of gradients and the gathering of parameters, against sums worked out locally.

/// Pieces smaller than a block, than a block for every rank, than a chunk, and larger than several chunks, with
/// elements between them that belong to no piece.
private let pieces: [Range<Int>] = [
  3..<8, 10..<10, 10..<16_394, 16_400..<32_785, 40_000..<90_000, 90_000..<590_001,
]
private let arenaCount = 590_010

/// Any rank's contribution to an element, over the full range of the type: sums wrap around.
private func contribution(_ rank: Int, _ index: Int) -> Int64 {
  Int64(truncatingIfNeeded: (UInt64(index) &+ 1) &* 0x9e37_79b9_7f4a_7c15 &* (UInt64(rank) &+ 3))
}

/// Memory for the arenas of a test, and a reducer for it.
struct Arenas {
  let memory: (gradient: Arena<Int64>, parameters: Arena<Float>)
  var gradient: Buffer<Int64> { memory.gradient.buffer }
  var parameters: Buffer<Float> { memory.parameters.buffer }

  init(_ count: Int = arenaCount) { memory = (Arena(count: count), Arena(count: count)) }

  func reducer(
    _ world: Communicator, _ pieces: [Range<Int>], remainder: ExactGradientReducer.Remainder = .keep
  ) throws -> ExactGradientReducer {
    try ExactGradientReducer(
      groups: [world],
      pieces: pieces.map { ExchangedPiece(group: 0, range: $0, owned: owners(of: $0, ranks: world.size)) },
      gradient: memory.gradient, parameters: memory.parameters, remainder: remainder)
  }
}

/// Deals a piece unevenly: the last ranks first, some with nothing.
func owners(of piece: Range<Int>, ranks: Int) -> [Range<Int>] {
  let weights = (0..<ranks).map { ($0 * 5 + 3) % 4 }
  let total = max(1, weights.reduce(0, +))
  var (first, sum) = (piece.lowerBound, 0)
  var owned = Array(repeating: piece.lowerBound..<piece.lowerBound, count: ranks)
  for rank in (0..<ranks).reversed() {
    sum += weights[rank]
    let end = rank == 0 ? piece.upperBound : piece.lowerBound + piece.count * sum / total
    owned[rank] = first..<end
    first = end
  }
  return owned
}

let reducerTests: [DistributedTest] = [
  DistributedTest("gradients are summed exactly where they are owned") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, pieces)
    // The pieces in two orders, the second while nothing of the first is left.
    for order in [Array(pieces.indices), pieces.indices.reversed()] {
      for index in 0..<arenaCount { arenas.gradient[index] = contribution(world.rank, index) }
      for piece in order { reducer.submit(piece: piece) }
      try reducer.wait()
      var expected = (0..<arenaCount).map { contribution(world.rank, $0) }
      for piece in pieces.indices {
        for index in owners(of: pieces[piece], ranks: world.size)[world.rank] {
          expected[index] = (0..<world.size).reduce(0) { $0 &+ contribution($1, index) }
        }
      }
      let wrong = expected.indices.first { expected[$0] != arenas.gradient[$0] }
      expectations.expect(wrong == nil, "element \(wrong ?? 0) is wrong")
    }
  },
  DistributedTest("parameters are gathered from their owners") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, pieces)
    for index in 0..<arenaCount { arenas.parameters[index] = -1 }
    for piece in pieces.indices {
      for index in owners(of: pieces[piece], ranks: world.size)[world.rank] { arenas.parameters[index] = Float(index) }
      reducer.submitGather(piece: piece)
    }
    for piece in pieces.indices.reversed() {
      try reducer.waitGather(piece: piece)
      let wrong = pieces[piece].first { arenas.parameters[$0] != Float($0) }
      expectations.expect(wrong == nil, "element \(wrong ?? 0) of piece \(piece) is wrong")
    }
    let gaps = zip(pieces, pieces.dropFirst()).map { $0.upperBound..<$1.lowerBound } + [590_001..<arenaCount, 0..<3]
    for gap in gaps {
      expectations.expect(gap.allSatisfy { arenas.parameters[$0] == -1 }, "an element outside of all pieces changed")
    }
  },
  DistributedTest("sums and gathers of several steps may follow each other") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, pieces)
    for step in 0..<3 {
      for index in 0..<arenaCount { arenas.gradient[index] = Int64(step + world.rank) }
      for piece in pieces.indices.reversed() { reducer.submit(piece: piece) }
      try reducer.wait()
      for piece in pieces.indices {
        for index in owners(of: pieces[piece], ranks: world.size)[world.rank] {
          arenas.parameters[index] = Float(arenas.gradient[index])
        }
        reducer.submitGather(piece: piece)
      }
      for piece in pieces.indices { try reducer.waitGather(piece: piece) }
      let sum = Float((0..<world.size).reduce(0) { $0 + step + $1 })
      for piece in pieces {
        expectations.expect(piece.allSatisfy { arenas.parameters[$0] == sum }, "step \(step)")
      }
    }
  },
  DistributedTest("waiting for a slow rank leaves the processor alone") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, pieces)
    try world.barrier()
    if world.size > 1 && world.rank == 0 { usleep(600_000) }
    let before = processorSeconds()
    reducer.submit(piece: 0)
    try reducer.wait()
    if world.size > 1 && world.rank > 0 {
      let used = processorSeconds() - before
      expectations.expect(used < 0.2, "\(used) s of processor time while waiting")
      expectations.expect(reducer.exposedSeconds > 0.4, "\(reducer.exposedSeconds) s exposed")
    }
  },
  DistributedTest("a mesh has a group for each axis") { world, expectations in
    for expert in 1...world.size where world.size % expert == 0 {
      let mesh = try ProcessMesh(world: world, expert: expert)
      expectations.expectEqual(mesh.size(of: .data), world.size / expert)
      expectations.expectEqual(mesh.size(of: .expert), expert)
      expectations.expectEqual(mesh.place(along: .data) * expert + mesh.place(along: .expert), world.rank)
      let first = Int64(world.rank - world.rank % expert)
      let members = (first..<first + Int64(expert)).reduce(0, +)
      expectations.expectEqual(try mesh[.expert].allReduce(Int64(world.rank), .sum), members)
    }
  },
]

/// The processor time that this process has used, in seconds.
private func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A rank fails in the middle of a step, while the other ranks wait for its piece.
func failInsideStep(_ world: Communicator, failing rank: Int) throws {
  let arenas = Arenas()
  let reducer = try arenas.reducer(world, pieces)
  reducer.submit(piece: 5)
  if world.rank == rank { throw ForgeError.badInput("the step cannot be completed") }
  reducer.submit(piece: 4)
  try reducer.wait()
}
