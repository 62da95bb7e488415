import Testing

@testable import Training

@Suite struct RecentDurationsTests {
  @Test func theMedianIsOfTheLastSteps() {
    var durations = RecentDurations()
    #expect(durations.median == 0)
    durations.add(100)
    #expect(durations.count == 1 && durations.median == 100)
    for _ in 0..<20 { durations.add(1) }
    #expect(durations.median == 1)
    for _ in 0..<40 { durations.add(5) }
    #expect(durations.count == 32 && durations.median == 5)
  }
}
