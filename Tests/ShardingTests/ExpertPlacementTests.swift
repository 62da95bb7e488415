import Testing

@testable import Sharding

@Suite struct ExpertPlacementTests {
  /// `(experts, ranks, degree)`
  private static let cases = [
    (8, 8, 8), (8, 64, 8), (8, 6, 3), (8, 12, 4), (8, 4, 4), (8, 1, 1), (128, 64, 64), (128, 56, 28), (128, 48, 48),
    (60, 64, 32), (0, 4, 1), (0, 8, 1), (1, 4, 1),
    // No degree above 1 is even: uneven experts, rather than all of them on each rank.
    (8, 7, 7), (8, 5, 5), (3, 2, 2), (8, 11, 1),
  ]

  @Test(arguments: cases) func theAutomaticDegreeIsLargeAndEven(_ experts: Int, _ ranks: Int, _ degree: Int) {
    #expect(ExpertPlacement.automaticDegree(experts: experts, ranks: ranks) == degree)
  }

  @Test func rowsAreCutWhereThereIsSomethingToCut() {
    let alone = ExpertPlacement(experts: 8, ranks: 2, degree: 1)
    #expect(alone.chunks == 1 && alone.ownParts(of: 0, threads: 16) == 1)
    #expect(ExpertPlacement(experts: 3, ranks: 2, degree: 2).chunks == 1)  // the first rank has one
    let spread = ExpertPlacement(experts: 8, ranks: 2, degree: 2)
    #expect(spread.chunks == 2)
    #expect([1, 2, 3, 4, 64].map { spread.ownParts(of: 1, threads: $0) } == [4, 2, 2, 2, 2])
    #expect(ExpertPlacement(experts: 0, ranks: 2, degree: 1).ownParts(of: 1, threads: 1) == 1)
  }
}
