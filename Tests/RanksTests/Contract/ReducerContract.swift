import Kernels
import MPI
import Parallelism

// The exact sum of gradients and the gathering of parameters, against sums worked out locally.

/// Units smaller than a block, than a block for every rank, than a chunk, and larger than several chunks, with
/// elements between them that belong to no unit.
let reducedUnits: [Range<Int>] = [
  3..<8, 10..<10, 10..<16_394, 16_400..<32_785, 40_000..<90_000, 90_000..<360_001,
]
private let arenaCount = 360_010

/// What some ranks contribute to an element together, over the full range of the type: sums wrap around.
private func contribution(_ ranks: Range<Int>, _ index: Int) -> Int64 {
  let weight = ranks.count * (ranks.lowerBound + ranks.upperBound + 5) / 2  // rank r contributes r + 3 times as much
  return Int64(truncatingIfNeeded: (UInt64(index) &+ 1) &* 0x9e37_79b9_7f4a_7c15 &* UInt64(weight))
}

/// Memory for the arenas of a test, and a reducer for it.
struct Arenas {
  let memory: (gradient: Arena<Int64>, parameters: Arena<Float>)
  var gradient: Buffer<Int64> { memory.gradient.buffer }
  var parameters: Buffer<Float> { memory.parameters.buffer }

  init(_ count: Int = arenaCount) { memory = (Arena(count: count), Arena(count: count)) }

  func reducer(
    _ world: Communicator, _ units: [Range<Int>], remainder: ExactGradientReducer.Remainder = .keep
  ) throws -> ExactGradientReducer {
    try ExactGradientReducer(
      groups: [world],
      units: units.map { ExchangedUnit(group: 0, range: $0, shards: owners(of: $0, ranks: world.size)) },
      gradient: memory.gradient, parameters: memory.parameters, remainder: remainder)
  }
}

/// Shards a unit unevenly: the last ranks first, some without any.
func owners(of unit: Range<Int>, ranks: Int) -> [Range<Int>] {
  let weights = (0..<ranks).map { ($0 * 5 + 3) % 4 }
  let total = max(1, weights.reduce(0, +))
  var (first, sum) = (unit.lowerBound, 0)
  var shards = Array(repeating: unit.lowerBound..<unit.lowerBound, count: ranks)
  for rank in (0..<ranks).reversed() {
    sum += weights[rank]
    let end = rank == 0 ? unit.upperBound : unit.lowerBound + unit.count * sum / total
    shards[rank] = first..<end
    first = end
  }
  return shards
}

// Plain loops over pointers: these tests touch millions of elements, and are built without optimisation too.
let reducerContract: [RankTest] = [
  RankTest("gradients are summed exactly where they are owned") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, reducedUnits)
    let mine = world.rank..<world.rank + 1
    let gradient = arenas.gradient.base
    // The units in two orders, the second when the first is complete.
    for order in [Array(reducedUnits.indices), reducedUnits.indices.reversed()] {
      for index in 0..<arenaCount { gradient[index] = contribution(mine, index) }
      for unit in order { reducer.submit(unit: unit) }
      try reducer.wait()
      var wrong: Int?
      var next = 0
      func check(_ range: Range<Int>, _ ranks: Range<Int>) {
        for index in range where gradient[index] != contribution(ranks, index) { wrong = index }
      }
      for unit in reducedUnits {
        let shards = owners(of: unit, ranks: world.size)[world.rank]
        check(next..<shards.lowerBound, mine)
        check(shards, 0..<world.size)
        next = shards.upperBound
      }
      check(next..<arenaCount, mine)
      expectations.expect(wrong == nil, "element \(wrong ?? 0) is wrong")
    }
  },
  RankTest("what is not owned stays, is given back, or is everybody's sum") { world, expectations in
    for remainder in [ExactGradientReducer.Remainder.keep, .discard, .gather] {
      let arenas = Arenas(40_000)
      let unit = 5..<39_000
      let reducer = try arenas.reducer(world, [unit], remainder: remainder)
      let (own, all) = (world.rank..<world.rank + 1, 0..<world.size)
      for index in 0..<40_000 { arenas.gradient.base[index] = contribution(own, index) }
      reducer.submit(unit: 0)
      try reducer.wait()
      let mine = owners(of: unit, ranks: world.size)[world.rank]
      let wrong = (0..<40_000).first { index in
        let expected =
          switch remainder {
          case _ where !unit.contains(index): contribution(own, index)
          case _ where mine.contains(index): contribution(all, index)
          case .keep: contribution(own, index)
          case .discard: Int64(0)
          case .gather: contribution(all, index)
          }
        return arenas.gradient.base[index] != expected
      }
      expectations.expect(wrong == nil, "\(remainder): element \(wrong ?? 0) is wrong")
    }
  },
  RankTest("parameters are gathered from their owners") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, reducedUnits)
    let parameters = arenas.parameters.base
    arenas.parameters.fill(-1)
    for unit in reducedUnits.indices {
      for index in owners(of: reducedUnits[unit], ranks: world.size)[world.rank] { parameters[index] = Float(index) }
      reducer.submitGather(unit: unit)
    }
    var wrong: Int?
    for unit in reducedUnits.indices.reversed() {
      try reducer.waitGather(unit: unit)
      for index in reducedUnits[unit] where parameters[index] != Float(index) { wrong = index }
    }
    expectations.expect(wrong == nil, "element \(wrong ?? 0) is wrong")
    let ends = [0] + reducedUnits.map(\.upperBound)
    for (end, start) in zip(ends, reducedUnits.map(\.lowerBound) + [arenaCount]) {
      for index in end..<start where parameters[index] != -1 { wrong = index }
    }
    expectations.expect(wrong == nil, "element \(wrong ?? 0), outside of all pieces, changed")
  },
  RankTest("sums and gathers of several steps may follow each other") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, reducedUnits)
    let parameters = arenas.parameters.base
    for step in 0..<3 {
      arenas.gradient.fill(Int64(step + world.rank))
      for unit in reducedUnits.indices.reversed() { reducer.submit(unit: unit) }
      try reducer.wait()
      for unit in reducedUnits.indices {
        for index in owners(of: reducedUnits[unit], ranks: world.size)[world.rank] {
          parameters[index] = Float(arenas.gradient.base[index])
        }
        reducer.submitGather(unit: unit)
      }
      for unit in reducedUnits.indices { try reducer.waitGather(unit: unit) }
      let sum = Float((0..<world.size).reduce(0) { $0 + step + $1 })
      var wrong: Int?
      for unit in reducedUnits { for index in unit where parameters[index] != sum { wrong = index } }
      expectations.expect(wrong == nil, "step \(step), element \(wrong ?? 0)")
    }
  },
  RankTest("a mesh has a group for each axis") { world, expectations in
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
