import Testing

@testable import Planning

@Suite struct MemoryPlanTests {
  @Test func residentMemoryIsWholePages() {
    #expect(MemoryPlan.resident([0..<1], elementSize: 4, page: 4096) == 4096)
    #expect(MemoryPlan.resident([1000..<1100, 1100..<1200, 5000..<5001], elementSize: 4, page: 4096) == 3 * 4096)
    #expect(MemoryPlan.resident([0..<0], elementSize: 8, page: 4096) == 0)
  }
}
