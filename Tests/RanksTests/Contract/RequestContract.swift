import MPI

// The nonblocking forms: completed by `wait`, by asking, or by being dropped, whole and in parts.

let requestContract: [RankTest] = [
  RankTest("nonblocking all-reduce") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for count in counts {
        let mine: [Int64] = values(world.rank, count)
        let expected = (0..<count).map { index in (0..<world.size).reduce(0) { $0 + value($1, index, as: Int64.self) } }
        var result = [Int64](repeating: -1, count: count)
        var span = result.mutableSpan
        try communicator.startAllReduce(from: mine.span, into: &span, .sum).wait()
        expectations.expectEqual(result, expected, "\(name), \(count)")
        var inPlace = mine
        var inPlaceSpan = inPlace.mutableSpan
        try communicator.startAllReduce(&inPlaceSpan, .sum).wait()
        expectations.expectEqual(inPlace, expected, "\(name), \(count) in place")
      }
    }
  },
  RankTest("nonblocking reduce-scatter, all-to-all and gather") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      for count in counts {
        let mine: [Float] = values(world.rank, count * world.size)
        var sums = [Float](repeating: -1, count: count)
        var sumsSpan = sums.mutableSpan
        try communicator.startReduceScatter(from: mine.span, into: &sumsSpan, .sum).wait()
        let expected = (0..<count).map { index in
          (0..<world.size).reduce(0) { $0 + value($1, world.rank * count + index, as: Float.self) }
        }
        expectations.expectEqual(sums, expected, "\(name), reduce-scatter of \(count)")

        var exchanged = [Float](repeating: -1, count: count * world.size)
        var exchangedSpan = exchanged.mutableSpan
        try communicator.startAllToAll(from: mine.span, into: &exchangedSpan).wait()
        let received = (0..<world.size).flatMap { sender in
          (0..<count).map { value(sender, world.rank * count + $0, as: Float.self) }
        }
        expectations.expectEqual(exchanged, received, "\(name), all-to-all of \(count)")

        let layout = RankCounts(contiguous: .init(repeating: mine.count, count: world.size))
        var gathered = [Float](repeating: -1, count: layout.extent)
        var gatheredSpan = gathered.mutableSpan
        try communicator.startGather(from: mine.span, into: &gatheredSpan, layout: layout, root: world.size - 1).wait()
        if world.rank == world.size - 1 {
          expectations.expectEqual(
            gathered, (0..<world.size).flatMap { values($0, mine.count) }, "\(name), gather of \(count)")
        }
      }
    }
  },
  RankTest("nonblocking all-gather, broadcast and exchange with counts") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      let layout = RankCounts(contiguous: (0..<world.size).map { 6 * $0 })
      let mine: [Int32] = values(world.rank, 6 * world.rank)
      var all = [Int32](repeating: -1, count: layout.extent)
      var allSpan = all.mutableSpan
      try communicator.startAllGather(from: mine.span, into: &allSpan, layout: layout).wait()
      expectations.expectEqual(all, (0..<world.size).flatMap { values($0, 6 * $0) }, "\(name), all-gather")

      var buffer: [Int32] = values(world.rank, 12)
      var bufferSpan = buffer.mutableSpan
      try communicator.startBroadcast(&bufferSpan, root: world.size - 1).wait()
      expectations.expectEqual(buffer, values(world.size - 1, 12), "\(name), broadcast")

      let plan = try communicator.planExchange(sendCounts: .init(repeating: 2 * world.rank, count: world.size))
      let outgoing: [Int32] = values(world.rank, 2 * world.rank * world.size)
      var incoming = [Int32](repeating: -1, count: plan.receive.extent)
      var incomingSpan = incoming.mutableSpan
      try communicator.startAllToAll(from: outgoing.span, into: &incomingSpan, plan: plan).wait()
      let expected = (0..<world.size).flatMap { sender in
        (0..<2 * sender).map { value(sender, world.rank * 2 * sender + $0, as: Int32.self) }
      }
      expectations.expectEqual(incoming, expected, "\(name), exchange")
    }
  },
  RankTest("a request can be asked until it is complete") { world, expectations in
    var buffer: [Int64] = values(world.rank, 1000)
    var span = buffer.mutableSpan
    var request = try world.startAllReduce(&span, .max)
    while try !request.isComplete() {}
    try request.wait()
    expectations.expectEqual(
      buffer, (0..<1000).map { index in (0..<world.size).map { value($0, index, as: Int64.self) }.max()! })
  },
  RankTest("a request that is dropped is completed first") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      var buffer: [Int64] = values(world.rank, 100)
      do {
        var span = buffer.mutableSpan
        _ = try communicator.startAllReduce(&span, .sum)
      }
      let expected = (0..<100).map { index in (0..<world.size).reduce(0) { $0 + value($1, index, as: Int64.self) } }
      expectations.expectEqual(buffer, expected, name)
    }
  },
  RankTest("a nonblocking barrier waits for the last rank") { world, expectations in
    let copy = try world.duplicate()
    if world.rank == 0 { try world.barrier() }
    var request = try copy.startBarrier()
    if world.rank != 0 {
      expectations.expect(try !request.isComplete(), "complete before rank 0 has joined")
      try world.barrier()
    }
    try request.wait()
  },
]
