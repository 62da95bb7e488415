import MPI

/// Counts that are really beyond 32 bits; 7 GB a rank, so not among the tests that always run.
let largeTests: [RankTest] = [
  RankTest("more than 2,147,483,647 elements") { world, expectations in
    let count = Int(Int32.max) + 1000
    let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: count)
    defer { buffer.deallocate() }
    buffer.initialize(repeating: world.rank == 0 ? 1 : 0)
    try world.broadcast(arena: buffer, root: 0)
    expectations.expect(buffer.allSatisfy { $0 == 1 }, "broadcast")
    try world.allReduce(arena: buffer, .sum)
    expectations.expect(buffer.allSatisfy { $0 == UInt8(world.size) }, "sum")
    // Rank 0 alone sends more than fits; all ranks must throw.
    let source = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: count)
    defer { source.deallocate() }
    source.initialize(repeating: UInt8(10 + world.rank))
    let own = world.rank == 0 ? count - 10 : 10
    let plan = try world.planExchange(sendCounts: (0..<world.size).map { $0 == 0 ? own : 10 / (world.size - 1) })
    try world.allToAll(arena: .init(source), into: buffer, plan: plan)
    for rank in 0..<world.size {
      expectations.expect(buffer[plan.receive.range(of: rank)].allSatisfy { $0 == UInt8(10 + rank) }, "from \(rank)")
    }
  }
]
