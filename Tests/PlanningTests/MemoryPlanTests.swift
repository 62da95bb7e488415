import RunConfiguration
import Testing

@testable import Planning

@Suite struct MemoryPlanTests {
  @Test func residentMemoryIsWholePages() {
    #expect(MemoryPlan.resident([0..<1], elementSize: 4, page: 4096) == 4096)
    #expect(MemoryPlan.resident([1000..<1100, 1100..<1200, 5000..<5001], elementSize: 4, page: 4096) == 3 * 4096)
    #expect(MemoryPlan.resident([0..<0], elementSize: 8, page: 4096) == 0)
  }

  @Test func ranksOfANodeSeeEachOthersSharedMemory() throws {
    let configuration = try RunConfiguration.load(path: nil, overrides: [])
    func bytes(neighbours: Int) -> Int {
      MemoryPlan(
        configuration, shardingPlan: shardingPlan(configuration, ranks: 8), rank: 0, threads: 1, neighbours: neighbours
      ).bytes
    }
    #expect(bytes(neighbours: 8) - bytes(neighbours: 1) == 8 * 24 * 4224)
    #expect(bytes(neighbours: 64) - bytes(neighbours: 1) == 64 * 72 * 4224)  // no more slots than are permitted
  }

  @Test func copiesOnTheNodesTakeTwoBlocksARank() throws {
    func bytes(ranks: Int, _ overrides: [String]) throws -> Int {
      let configuration = try RunConfiguration.load(path: nil, overrides: overrides)
      return MemoryPlan(configuration, shardingPlan: shardingPlan(configuration, ranks: ranks), rank: 0, threads: 1)
        .bytes
    }
    #expect(try bytes(ranks: 2, ["checkpoint.local=/x"]) - bytes(ranks: 2, []) == 8 << 20)
    #expect(try bytes(ranks: 1, ["checkpoint.local=/x"]) == bytes(ranks: 1, []))
  }
}
