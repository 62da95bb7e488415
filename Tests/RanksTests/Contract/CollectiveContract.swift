import MPI

// Every collective against a result computed locally from `value`, which gives any rank's element. Each runs once as
// it is and once on a communicator with at most five elements a call, which tests the splitting of large counts.

/// Element `index` of `rank`'s buffer: small whole numbers, whose sums are exact in every element type.
func value<E: Numeric>(_ rank: Int, _ index: Int, as type: E.Type = E.self) -> E {
  E(exactly: (rank * 31 + index * 7) % 13)!
}

func values<E: Numeric>(_ rank: Int, _ count: Int, as type: E.Type = E.self) -> [E] {
  (0..<count).map { value(rank, $0) }
}

/// The communicators each collective is tested on, named.
func variants(of world: Communicator) throws -> [(String, Communicator)] {
  [("whole", world), ("in parts", try world.duplicate(countLimit: 5))]
}

/// The counts tested: nothing, one, below, at, and beyond the limit of a call.
let counts = [0, 1, 4, 5, 6, 23]

let collectiveContract: [RankTest] = [
  RankTest("communicators") { world, expectations in
    let copy = try world.duplicate()
    expectations.expectEqual([copy.rank, copy.size], [world.rank, world.size], "duplicate")
    // Odd and even ranks apart, in reverse order.
    let half = try world.split(color: world.rank % 2, key: -world.rank)!
    let members = (0..<world.size).filter { $0 % 2 == world.rank % 2 }
    expectations.expectEqual(half.size, members.count, "split size")
    expectations.expectEqual(half.rank, members.reversed().firstIndex(of: world.rank)!, "split rank")
    expectations.expectEqual(try half.allReduce(Int64(world.rank), .sum), Int64(members.reduce(0, +)), "sum of a part")
    let first = try world.split(color: world.rank == 0 ? 0 : nil)
    expectations.expectEqual(first != nil, world.rank == 0, "no color, no group")
    expectations.expectEqual(try world.splitByNode().size, world.size, "one node")
  },
  RankTest("communicators are freed") { world, _ in
    // Open MPI runs out of communicator numbers long before this many.
    for _ in 0..<(world.size == 1 ? 70_000 : 500) { _ = try world.duplicate() }
  },
  RankTest("all-reduce Float") { try testAllReduce(of: Float.self, $0, &$1) },
  RankTest("all-reduce Double") { try testAllReduce(of: Double.self, $0, &$1) },
  RankTest("all-reduce UInt8") { try testAllReduce(of: UInt8.self, $0, &$1) },
  RankTest("all-reduce Int32") { try testAllReduce(of: Int32.self, $0, &$1) },
  RankTest("all-reduce Int64") { try testAllReduce(of: Int64.self, $0, &$1) },
  RankTest("all-reduce UInt64") { try testAllReduce(of: UInt64.self, $0, &$1) },
  RankTest("all-reduce keeps 64 bits and wraps around") { world, expectations in
    expectations.expectEqual(try world.allReduce(Int64.max, .max), .max)
    let sum = try world.allReduce(UInt64(1) << 63 + 1, .sum)
    expectations.expectEqual(sum, (0..<world.size).reduce(UInt64(0)) { sum, _ in sum &+ (UInt64(1) << 63 + 1) })
  },
  RankTest("reduce-scatter") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for count in counts {
        let mine: [Int64] = values(world.rank, count * world.size)
        var result = [Int64](repeating: -1, count: count)
        var span = result.mutableSpan
        try communicator.reduceScatter(from: mine.span, into: &span, .sum)
        let expected = (0..<count).map { index in
          (0..<world.size).reduce(0) { $0 + value($1, world.rank * count + index, as: Int64.self) }
        }
        expectations.expectEqual(result, expected, "\(name), \(count)")
      }
    }
  },
  RankTest("broadcast") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for root in 0..<world.size {
        for count in counts {
          var buffer: [Float] = values(world.rank, count)
          var span = buffer.mutableSpan
          try communicator.broadcast(&span, root: root)
          expectations.expectEqual(buffer, values(root, count), "\(name), \(count) from \(root)")
        }
        let text = Array("sentence of rank \(world.rank)".utf8)
        expectations.expectEqual(try communicator.broadcast(text, root: root), Array("sentence of rank \(root)".utf8))
      }
    }
  },
  RankTest("all-gather") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for count in counts {
        let mine: [Double] = values(world.rank, count)
        var all = [Double](repeating: -1, count: count * world.size)
        var span = all.mutableSpan
        try communicator.allGather(from: mine.span, into: &span)
        expectations.expectEqual(all, (0..<world.size).flatMap { values($0, count) }, "\(name), \(count)")
      }
    }
  },
  RankTest("all-gather with counts and gaps") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      // Rank r contributes 3 r elements (rank 0 none), in reverse order of ranks, each followed by an unused one.
      let counts = (0..<world.size).map { 3 * $0 }
      let offsets = (0..<world.size).map { rank in counts[(rank + 1)...].reduce(0) { $0 + $1 + 1 } }
      let layout = RankCounts(counts: counts, offsets: offsets)
      let mine: [Int32] = values(world.rank, counts[world.rank])
      var all = [Int32](repeating: -1, count: layout.extent + 1)
      var expected = all
      for rank in 0..<world.size { expected.replaceSubrange(layout.range(of: rank), with: values(rank, counts[rank])) }
      var span = all.mutableSpan
      try communicator.allGather(from: mine.span, into: &span, layout: layout)
      expectations.expectEqual(all, expected, name)
    }
  },
  RankTest("all-to-all") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for count in counts {
        let mine: [UInt64] = values(world.rank, count * world.size)
        var result = [UInt64](repeating: 99, count: count * world.size)
        var span = result.mutableSpan
        try communicator.allToAll(from: mine.span, into: &span)
        let expected = (0..<world.size).flatMap { sender in
          (0..<count).map { value(sender, world.rank * count + $0, as: UInt64.self) }
        }
        expectations.expectEqual(result, expected, "\(name), \(count)")
      }
    }
  },
  RankTest("all-to-all with counts") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      // Rank s sends s * 4 + r elements to rank r; the first element of each is the sender's, the rest follow.
      let sent = { (sender: Int, receiver: Int) in
        (0..<sender * 4 + receiver).map { value(sender * 5 + receiver, $0, as: Float.self) }
      }
      let mine = (0..<world.size).flatMap { sent(world.rank, $0) }
      let plan = try communicator.planExchange(sendCounts: (0..<world.size).map { sent(world.rank, $0).count })
      var result = [Float](repeating: -1, count: plan.receive.extent)
      var span = result.mutableSpan
      try communicator.allToAll(from: mine.span, into: &span, plan: plan)
      expectations.expectEqual(result, (0..<world.size).flatMap { sent($0, world.rank) }, name)
    }
  },
  RankTest("gather") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for root in 0..<world.size {
        for count in counts {
          let mine: [Int64] = values(world.rank, count)
          var all = [Int64](repeating: -1, count: world.rank == root ? count * world.size : 0)
          var span = all.mutableSpan
          try communicator.gather(from: mine.span, into: &span, root: root)
          let expected: [Int64] = world.rank == root ? (0..<world.size).flatMap { values($0, count) } : []
          expectations.expectEqual(all, expected, "\(name), \(count) to \(root)")
        }
        let bytes = try communicator.gather([UInt8](repeating: UInt8(world.rank), count: 7 * world.rank), root: root)
        let expected = (0..<world.size).map { [UInt8](repeating: UInt8($0), count: 7 * $0) }
        expectations.expectEqual(bytes, world.rank == root ? expected : [], "\(name), bytes to \(root)")
      }
    }
  },
  RankTest("an error has MPI's text and the call's name") { world, expectations in
    var value: [Int32] = [1]
    var span = value.mutableSpan
    do {
      try world.broadcast(&span, root: world.size)
      expectations.expect(false, "a root that does not exist is refused")
    } catch let error as MPIError {
      expectations.expectEqual(error.call, "MPI_Bcast")
      expectations.expect(error.text.contains("MPI_ERR_ROOT"), "\(error.text) names the class")
      expectations.expectEqual(error.exitCode, 70)
    }
  },
]

private func testAllReduce<E: CollectiveElement & Numeric & Comparable>(
  of type: E.Type, _ world: Communicator, _ expectations: inout Expectations
) throws {
  for (name, communicator) in try variants(of: world) {
    for count in counts {
      let mine: [E] = values(world.rank, count)
      let all: [[E]] = (0..<world.size).map { values($0, count) }
      let combinations: [(Reduction, (E, E) -> E)] = [
        (.sum, { $0 + $1 }), (.max, { max($0, $1) }), (.min, { min($0, $1) }),
      ]
      for (reduction, combine) in combinations {
        let expected = (0..<count).map { index in all.dropFirst().reduce(all[0][index]) { combine($0, $1[index]) } }
        var inPlace = mine
        var span = inPlace.mutableSpan
        try communicator.allReduce(&span, reduction)
        expectations.expectEqual(inPlace, expected, "\(name), \(reduction) of \(count) in place")
        var result = [E](repeating: 99, count: count)
        var resultSpan = result.mutableSpan
        try communicator.allReduce(from: mine.span, into: &resultSpan, reduction)
        expectations.expectEqual(result, expected, "\(name), \(reduction) of \(count)")
      }
    }
  }
}
