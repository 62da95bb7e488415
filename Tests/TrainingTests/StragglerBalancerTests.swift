import Sharding
import Testing

@testable import Training

@Suite struct StragglerBalancerTests {
  private func after(_ steps: Int, _ seconds: [Double?], isAutomatic: Bool = true) -> StragglerBalancer {
    var balance = StragglerBalancer(microBatches: 12, ranks: seconds.count, isAutomatic: isAutomatic)
    for _ in 0..<steps { balance.record(secondsPerMicroBatch: seconds) }
    return balance
  }

  @Test func equalRanksGetTheSame() {
    let balance = after(30, [1, 1.05, 0.97])
    #expect(balance.assignment.counts == [4, 4, 4] && balance.isEven && balance.stragglers.isEmpty)
  }

  @Test func aSlowRankGetsLessOnceThatIsCertain() {
    #expect(after(7, [1, 1, 2.5]).isEven, "a few steps may be chance")
    let balance = after(8, [1, 1, 2.5])
    #expect(balance.assignment.counts == [5, 5, 2])
    #expect(balance.stragglers == [2: 2.5])
  }

  @Test func ofTwoRanksTheFastOneIsTheUsual() {
    #expect(after(8, [2, 1]).stragglers == [0: 2])
    #expect(after(8, [2, 1]).assignment.counts == [4, 8])
  }

  @Test func withoutBalanceTheSlowRankIsOnlyNamed() {
    let balance = after(8, [1, 1, 3], isAutomatic: false)
    #expect(balance.isEven && balance.stragglers == [2: 3])
  }

  @Test func aRankThatRecoversGetsItsShareBack() {
    var balance = after(8, [1, 1, 3])
    for _ in 0..<20 { balance.record(secondsPerMicroBatch: [1, 1, 1]) }
    #expect(balance.isEven && balance.stragglers.isEmpty)
  }

  /// A rank without micro-batches is not measured, so it gets some again after a while.
  @Test func aRankWithoutMicroBatchesIsTriedAgain() {
    var balance = after(8, [1, 1, 20])
    #expect(balance.assignment.counts == [6, 6, 0])
    var steps = 0
    while balance.assignment.counts[2] == 0, steps < 1000 {
      balance.record(secondsPerMicroBatch: [1, 1, nil])
      steps += 1
    }
    #expect(steps > 10 && steps < 1000)
  }
}
