import Support
import Testing

@testable import Datasets

@Suite struct MixtureTests {
  @Test func roundsByLargestRemainder() {
    #expect(Mixture.largestRemainders(shares: [0.5, 0.3, 0.2], total: 10) == [5, 3, 2])
    #expect(Mixture.largestRemainders(shares: [1.0 / 3, 1.0 / 3, 1.0 / 3], total: 1024) == [342, 341, 341])
    #expect(Mixture.largestRemainders(shares: [0.29, 0.71], total: 10) == [3, 7])
  }

  @Test(arguments: [UInt64?.none, 9])
  func dealsEveryOrdinalOnceInProportion(key: UInt64?) throws {
    let mixture = try Mixture(weights: [3, 1, 4])
    #expect(mixture.quotas == [384, 128, 512])
    var ordinals: [[Int]] = [[], [], []]
    for place in 0..<3 * mixture.cycleLength {
      let draw = mixture.draw(at: place, shuffledBy: key)
      ordinals[draw.source].append(draw.ordinal)
    }
    for (source, quota) in mixture.quotas.enumerated() {
      #expect(ordinals[source].sorted() == Array(0..<3 * quota))
    }
  }

  @Test func shufflesEachCycleDifferently() throws {
    let mixture = try Mixture(weights: [1, 1])
    let sources = (0..<2048).map { mixture.draw(at: $0, shuffledBy: 5).source }
    #expect(sources[..<1024] != sources[1024...])
    // Of 1,024 neighbours about half should differ; a shuffle that leaves blocks would show far fewer.
    let changes = zip(sources, sources.dropFirst()).count { $0 != $1 }
    #expect((900...1150).contains(changes))
  }

  @Test func growsTheCycleForLightSources() throws {
    let mixture = try Mixture(weights: [1000, 1])
    #expect(mixture.cycleLength == 16384)
    #expect(mixture.quotas[1] == 16)
  }

  @Test(arguments: [0, -1, .nan, .infinity, 1e-12])
  func refusesUselessWeights(weight: Double) {
    #expect(throws: ForgeError.self) { try Mixture(weights: [1, weight]) }
  }
}
