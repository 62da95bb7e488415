import Testing

@testable import Parallelism

@Suite struct ExpertTimingTests {
  @Test func aRateForgets() {
    var rate = RecentRate()
    for _ in 0..<4 { rate.add(1, per: 1) }
    #expect(abs(rate.rate - 1) < 1e-12)
    for _ in 0..<100 { rate.add(2, per: 1) }
    #expect(abs(rate.rate - 2) < 0.01)
  }

  /// A call with few rows takes longer for each, so it has little weight.
  @Test func manyRowsWeighMoreThanFew() {
    var rate = RecentRate()
    rate.add(1000, per: 1000)
    rate.add(2, per: 1)
    #expect(abs(rate.rate - 1) < 0.01)
    rate.add(0, per: 0)
    #expect(abs(rate.rate - 1) < 0.01)
  }

  @Test func aPauseCountsAsTwiceTheRate() {
    var rate = RecentRate()
    for _ in 0..<200 { rate.add(1, per: 1) }
    rate.add(1000, per: 1)
    #expect(abs(rate.rate - (1 + 1.0 / 16)) < 1e-4)
  }

  @Test func wholeNumbersSayWhetherThereIsAny() {
    var rate = RecentRate()
    #expect(rate.rounded(1e9) == 0)
    rate.add(1e-12, per: 1)
    #expect(rate.rounded(1e9) == 1)
    #expect(Int32(clamping: rate.rounded(1e30)) == .max)
    #expect(ExpertTimer().timing == .unknown)
  }
}
