import Testing

@testable import Datasets

/// The choice of validation sequences.
@Suite struct ValidationSetTests {
  @Test func sequencesAreSpreadOverASet() {
    func places(_ used: Int, of available: Int) -> [Int] {
      let set = ValidationSet(name: "", weight: 1, available: available, used: used)
      return (0..<used).map { set.sequence(at: $0) }
    }
    #expect(places(4, of: 40) == [5, 15, 25, 35])
    #expect(places(3, of: 10) == [1, 5, 8])
    #expect(places(1, of: 9) == [4], "the middle one")
    #expect(places(7, of: 7) == Array(0..<7), "all, in their order")
    #expect(places(6, of: 7) == [0, 1, 2, 4, 5, 6])
    #expect(places(2, of: 1 << 60) == [1 << 58, 3 << 58], "no product overflows")
  }

  @Test(
    arguments: [
      // Shared out by weight, by largest remainders.
      (8, [3, 1], [40, 40], [6, 2]), (64, [1, 1, 1], [99, 99, 99], [22, 21, 21]),
      // At least one of each, even where these are more than configured.
      (8, [1000, 1], [40, 40], [7, 1]), (2, [1, 1, 1], [9, 9, 9], [1, 1, 1]), (3, [100, 1, 1], [2, 9, 9], [1, 1, 1]),
      // The rest of a short set goes to the others; a set without a whole sequence has no share.
      (64, [1000, 1], [5, 1000], [5, 59]), (10, [1, 1, 2], [1, 9, 0], [1, 9, 0]), (9, [1, 2], [4, 4], [4, 4]),
      (.max, [0.1, 7], [3, 5], [3, 5]), (4, [1], [0], [0]), (3, [0.1, 0.1, 0.1], [9, 9, 9], [1, 1, 1]),
    ] as [(Int, [Double], [Int], [Int])])
  func sharesFollowTheWeights(total: Int, weights: [Double], available: [Int], expected: [Int]) {
    #expect(ValidationSet.shares(of: total, weights: weights, available: available) == expected)
  }

  @Test func namesDiffer() {
    #expect(ValidationSet.names(of: ["data/va", "data/vb/"]) == ["va", "vb"])
    #expect(ValidationSet.names(of: ["a/held", "b/held", "c"]) == ["a/held", "b/held", "c"])
    #expect(ValidationSet.names(of: ["a", "a"]) == ["a", "a (2)"])
  }

  @Test func everySetIsRead() throws {
    try withTemporaryFolder { folder in
      try write([Array(0..<41)], prefix: folder + "/long")
      try write([Array(100..<109)], prefix: folder + "/short")
      let data = try ValidationData(
        sources: [DataSource(path: folder + "/long"), DataSource(path: folder + "/short", weight: 0.5)],
        sequenceLength: 4, documentMask: false, vocabularySize: 1000, sequences: 3)
      #expect(data.sets.map(\.used) == [2, 1] && data.count == 3)
      #expect(data.sequences(of: 0) == 0..<2 && data.sequences(of: 1) == 2..<3)
      #expect((0..<3).map { data.sequence($0).tokens[0] } == [8, 28, 104])
    }
  }
}
