import Testing

@testable import Sharding

@Suite struct MicroBatchAssignmentTests {
  @Test(arguments: [(3, 1), (3, 2), (3, 8), (16, 5), (1, 4)])
  func everyMicroBatchHasOneRank(microBatches: Int, ranks: Int) {
    let assignment = MicroBatchAssignment(microBatches: microBatches, ranks: ranks)
    let dealt = (0..<ranks).flatMap(assignment.microBatches(of:))
    #expect(dealt.sorted() == Array(0..<microBatches))
    #expect(assignment.microSteps == (microBatches + ranks - 1) / ranks)
  }

  @Test func aSlowRankGetsLess() {
    let seconds = [1.0, 1.0, 4.0, 1.0]
    let assignment = MicroBatchAssignment(microBatches: 13, seconds: seconds)
    #expect(assignment.counts == [4, 4, 1, 4])
    #expect(assignment.duration(seconds) == 4)
    #expect((0..<4).flatMap(assignment.microBatches(of:)).sorted() == Array(0..<13))
    // Micro-steps: ranks with fewer micro-batches drop out first.
    #expect(assignment.microBatches(of: 2) == [2] && assignment.microBatches(of: 3) == [3, 6, 9, 12])
  }

  /// No other assignment finishes earlier: all of them are tried.
  @Test func noDealingIsFaster() {
    let seconds = [1.0, 1.7, 0.6]
    let best = MicroBatchAssignment(microBatches: 7, seconds: seconds).duration(seconds)
    for first in 0...7 {
      for second in 0...7 - first {
        let other = [first, second, 7 - first - second]
        #expect(zip(other, seconds).map { Double($0) * $1 }.max() ?? 0 >= best)
      }
    }
  }
}
