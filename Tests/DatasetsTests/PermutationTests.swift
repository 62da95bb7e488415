import Support
import Support
import Testing

@testable import Datasets

@Suite struct PermutationTests {
  @Test(arguments: [1, 2, 3, 4, 5, 16, 17, 1000, 1024, 4097])
  func isBijection(count: Int) {
    for key in 0..<3 as Range<UInt64> {
      let permutation = Permutation(count: count, key: key)
      #expect((0..<count).map { permutation($0) }.sorted() == Array(0..<count))
    }
  }

  /// A run's data order must not change between releases: values from an independent program.
  @Test func isStable() {
    #expect(SplitMix64.output(0) == 0xE220_A839_7B1D_CDAF)
    #expect((0..<10).map(Permutation(count: 10, key: 42).callAsFunction) == [4, 6, 1, 3, 0, 9, 5, 8, 7, 2])
    #expect(
      (0..<8).map(Permutation(count: 1000, key: 7).callAsFunction) == [310, 423, 168, 61, 812, 886, 657, 181])
  }

  @Test func reachesEveryOrderAboutEquallyOften() {
    var frequency: [[Int]: Int] = [:]
    for key in 0..<4800 as Range<UInt64> {
      let permutation = Permutation(count: 4, key: key)
      frequency[(0..<4).map { permutation($0) }, default: 0] += 1
    }
    // 24 orders, 200 expected of each, a standard deviation of 14.
    #expect(frequency.count == 24)
    #expect(frequency.values.allSatisfy { (130...270).contains($0) })
  }
}
