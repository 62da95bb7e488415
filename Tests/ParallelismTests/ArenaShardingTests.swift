import Testing

@testable import Parallelism

@Suite struct ArenaShardingTests {
  private let block = ArenaSharding.blockSize

  @Test(arguments: [1, 2, 3, 4, 5, 8, 64])
  func everyElementHasOneOwnerAndBoundariesAreBlocks(ranks: Int) {
    let pieces = [7..<9, 9..<9, 100..<100 + block, 20_000..<40_001, 50_000..<50_000 + 100 * block + 1]
    let sharding = ArenaSharding(pieces: pieces, ranks: ranks)
    for (piece, owned) in zip(pieces, sharding.owned) {
      #expect(owned.count == ranks)
      #expect([piece.lowerBound] + owned.map(\.upperBound) == owned.map(\.lowerBound) + [piece.upperBound])
      for range in owned where range.upperBound != piece.upperBound {
        #expect((range.upperBound - piece.lowerBound) % block == 0)
      }
    }
  }

  @Test(arguments: [2, 3, 4, 7])
  func blocksAreDealtEvenly(ranks: Int) {
    // Each piece by itself could give one rank a block more than another; together they still differ by one at most.
    let pieces = (0..<10).map { $0 * 5 * block..<($0 * 5 + 5) * block }
    let sharding = ArenaSharding(pieces: pieces, ranks: ranks)
    let totals = (0..<ranks).map { rank in sharding.owned.reduce(0) { $0 + $1[rank].count / block } }
    #expect(totals.reduce(0, +) == 50)
    #expect(totals.max()! - totals.min()! <= 1)
  }
}
