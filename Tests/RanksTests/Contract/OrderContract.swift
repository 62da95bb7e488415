import Glibc
import MPI
import Support
import Synchronization

// What may be under way at the same time, and in which order it may be waited for.

let orderContract: [RankTest] = [
  RankTest("operations under way may be waited for in any order") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      let size = world.size
      let mine: [Int64] = values(world.rank, 8)
      var (sums, largest) = (mine, mine)
      var gathered = [Int64](repeating: -1, count: 8 * size)
      var exchanged = [Int64](repeating: -1, count: 2 * size)
      var told: [Int64] = values(world.rank, 7)
      let outgoing: [Int64] = values(world.rank, 2 * size)
      var sumSpan = sums.mutableSpan
      var largestSpan = largest.mutableSpan
      var gatheredSpan = gathered.mutableSpan
      var exchangedSpan = exchanged.mutableSpan
      var toldSpan = told.mutableSpan
      let first = try communicator.startAllReduce(&sumSpan, .sum)
      let second = try communicator.startAllGather(
        from: mine.span, into: &gatheredSpan, layout: RankCounts(contiguous: .init(repeating: 8, count: size)))
      let third = try communicator.startAllReduce(&largestSpan, .max)
      let fourth = try communicator.startAllToAll(from: outgoing.span, into: &exchangedSpan)
      let fifth = try communicator.startBroadcast(&toldSpan, root: size - 1)
      // Each rank waits in an order of its own.
      if world.rank % 2 == 0 {
        try fifth.wait()
        try third.wait()
        try first.wait()
        try fourth.wait()
        try second.wait()
      } else {
        try second.wait()
        try fourth.wait()
        try fifth.wait()
        try first.wait()
        try third.wait()
      }
      let all: [[Int64]] = (0..<size).map { values($0, 8) }
      expectations.expectEqual(sums, (0..<8).map { index in all.reduce(0) { $0 + $1[index] } }, "\(name), sum")
      expectations.expectEqual(largest, (0..<8).map { index in all.map { $0[index] }.max()! }, "\(name), largest")
      expectations.expectEqual(gathered, all.flatMap(\.self), "\(name), all-gather")
      expectations.expectEqual(
        exchanged, (0..<size).flatMap { sender in (0..<2).map { value(sender, 2 * world.rank + $0) } },
        "\(name), exchange")
      expectations.expectEqual(told, values(size - 1, 7), "\(name), broadcast")
    }
  },
  RankTest("a blocking operation may pass one that is under way") { world, expectations in
    var before: [Int64] = [Int64(world.rank)]
    var span = before.mutableSpan
    let request = try world.startAllReduce(&span, .sum)
    let after = try world.allReduce(Int64(world.rank), .max)
    try request.wait()
    expectations.expectEqual(before, [Int64(world.size * (world.size - 1) / 2)], "the one that began first")
    expectations.expectEqual(after, Int64(world.size - 1), "the one that began second")
  },
  RankTest("operations are matched by their order, not by what they do") { world, expectations in
    for round in 0..<20 {
      let sum = try world.allReduce(Int64(round), .sum)
      let told = try world.broadcast([UInt8(round), UInt8(world.rank)], root: round % world.size)
      expectations.expectEqual(sum, Int64(round * world.size), "round \(round)")
      expectations.expectEqual(told, [UInt8(round), UInt8(round % world.size)], "round \(round)")
    }
  },
  RankTest("two threads of a rank use two communicators") { world, expectations in
    let microSteps = 200
    let other = try world.duplicate(name: "other")
    let sums = Mutex<[Int64]>([])
    let failure = Mutex<(any Error)?>(nil)
    let thread = try SystemThread {
      do {
        for round in 0..<microSteps {
          let sum = try other.allReduce(Int64(round + other.rank), .sum)
          sums.withLock { $0.append(sum) }
        }
      } catch { failure.withLock { $0 = error } }
    }
    var mine: [Int64] = []
    for round in 0..<microSteps { mine.append(try world.allReduce(Int64(1000 * round - world.rank), .min)) }
    thread.join()
    if let error = failure.withLock(\.self) { throw error }
    let ranks = world.size * (world.size - 1) / 2
    expectations.expectEqual(mine, (0..<microSteps).map { Int64(1000 * $0 - world.size + 1) }, "this thread's")
    expectations.expectEqual(
      sums.withLock(\.self), (0..<microSteps).map { Int64($0 * world.size + ranks) }, "the other thread's")
  },
  RankTest("a request is waited for by looking") { world, expectations in
    for sleepsFirst in [false, true] {
      if world.rank == world.size - 1 { usleep(5000) }  // longer than a wait without a pause
      var buffer: [Double] = [Double(world.rank), 1]
      try buffer.withUnsafeMutableBufferPointer { buffer in
        try world.startAllReduce(arena: buffer, .sum).wait(pollingEvery: 100, sleepsFirst: sleepsFirst, longest: 300)
      }
      expectations.expectEqual(
        buffer, [Double(world.size * (world.size - 1) / 2), Double(world.size)], "\(sleepsFirst)")
    }
    try world.barrier(pollingEvery: 100)
  },
  RankTest("a request that is complete stays so") { world, expectations in
    var buffer: [Int64] = [1]
    var span = buffer.mutableSpan
    var request = try world.startAllReduce(&span, .sum)
    while try !request.isComplete() {}
    expectations.expect(try request.isComplete(), "asked again")
    try request.wait()
    expectations.expectEqual(buffer, [Int64(world.size)], "added once")
  },
  RankTest("an abandoned request keeps nobody") { world, expectations in
    let copy = try world.duplicate(name: "abandoned")
    if world.rank == 0 {
      try copy.startBarrier().abandon()
      expectations.expectEqual(try world.allReduce(Int64(1), .sum), Int64(world.size), "after it")
    } else {
      expectations.expectEqual(try world.allReduce(Int64(1), .sum), Int64(world.size), "before it")
      try copy.startBarrier().abandon()
    }
    try world.barrier()
    // MPI frees a communicator whose operations are complete.
    try copy.barrier()
  },
  RankTest("communicators of communicators") { world, expectations in
    let size = world.size
    // All ranks but the last, with equal keys, so that they keep their order; then even and odd ranks apart, reversed.
    let most = try world.split(color: world.rank < max(1, size - 1) ? 3 : nil, key: 7, name: "most")
    expectations.expectEqual(most?.members, world.rank < max(1, size - 1) ? Array(0..<max(1, size - 1)) : nil, "most")
    if let most {
      let even = try most.split(color: most.rank % 2, key: -most.rank)!
      let members = most.members.filter { $0 % 2 == most.rank % 2 }.reversed()
      expectations.expectEqual(even.members, Array(members), "members of a part of a part")
      expectations.expectEqual(even.name, "most", "a name is passed on")
      let copy = try even.duplicate()
      expectations.expectEqual(try copy.allReduce(Int64(world.rank), .sum), Int64(members.reduce(0, +)), "its sum")
      expectations.expectEqual(copy.members, even.members, "members of a duplicate")
      expectations.expectEqual(copy.rank, even.rank, "rank in a duplicate")
    }
    expectations.expectEqual(try world.splitByNode().members, Array(0..<size), "one node")
  },
  RankTest("exchanges where most ranks have nothing") { world, expectations in
    for (name, communicator) in try variants(of: world) {
      // Only the last rank sends, and only to the first, which has a gap in front and behind.
      let (last, count) = (world.size - 1, 11)
      let sends = world.rank == last
      let outgoing: [Int32] = sends ? values(last, count) : []
      var incoming = [Int32](repeating: -1, count: world.rank == 0 ? count + 2 : 0)
      var (counts, offsets) = (Array(repeating: 0, count: world.size), Array(repeating: 0, count: world.size))
      if sends { counts[0] = count }
      let send = RankCounts(contiguous: counts)
      counts = .init(repeating: 0, count: world.size)
      if world.rank == 0 { (counts[last], offsets[last]) = (count, 1) }
      let plan = ExchangePlan(
        send: send, receive: RankCounts(counts: counts, offsets: offsets),
        largest: name == "whole" ? count : Int(Int32.max) + 1)
      var span = incoming.mutableSpan
      try communicator.allToAll(from: outgoing.span, into: &span, plan: plan)
      let expected: [Int32] = world.rank == 0 ? [-1] + values(last, count) + [-1] : []
      expectations.expectEqual(incoming, expected, "\(name), blocking")
      var again = [Int32](repeating: -1, count: incoming.count)
      var againSpan = again.mutableSpan
      try communicator.startAllToAll(from: outgoing.span, into: &againSpan, plan: plan).wait()
      expectations.expectEqual(again, expected, "\(name), nonblocking")
    }
  },
]
