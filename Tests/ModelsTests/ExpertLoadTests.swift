import Foundation
import Models
import Testing

struct ExpertLoadTests {
  @Test func evenAndOneSided() {
    let even = ExpertLoad(counts: [5, 5, 5, 5])
    #expect(even.largestOverMean == 1 && abs(even.entropy - 1) < 1e-12 && even.unused == 0)
    let one = ExpertLoad(counts: [0, 0, 20, 0])
    #expect(one.largestOverMean == 4 && one.entropy == 0 && one.unused == 3)
    let nothing = ExpertLoad(counts: [0, 0])
    #expect(nothing.largestOverMean == 0 && nothing.entropy == 0 && nothing.unused == 2)
    let single = ExpertLoad(counts: [7])
    #expect(single.largestOverMean == 1 && single.entropy == 1 && single.unused == 0)
  }

  /// Shares of 1/2, 1/4 and 1/4 of four experts: 1.5 bits of 2.
  @Test func entropyIsThatOfTheShares() {
    let load = ExpertLoad(counts: [2, 0, 4, 2])
    #expect(load.largestOverMean == 2 && abs(load.entropy - 0.75) < 1e-12 && load.unused == 1)
  }

  @Test func layers() {
    #expect(
      ExpertLoad.layers([1, 1, 1, 0, 3, 0], experts: 3)
        == [ExpertLoad(counts: [1, 1, 1]), ExpertLoad(counts: [0, 3, 0])])
    #expect(ExpertLoad.layers([], experts: 0).isEmpty)
  }
}
