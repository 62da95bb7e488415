import Inference
import Testing

struct SamplerTests {
  static let logits: [Float] = [0.5, 2, -1, 2, 1, -.infinity, 0]

  /// How often each id is drawn over many positions.
  private func counts(_ sampler: Sampler, draws: Int = 20_000) -> [Int] {
    var counts = [Int](repeating: 0, count: Self.logits.count)
    for position in 0..<draws { counts[Int(sampler.sample(Self.logits, position: position))] += 1 }
    return counts
  }

  @Test func greedyTakesTheLikeliestAndTiesGoToTheLowerId() {
    #expect(counts(.greedy, draws: 10)[1] == 10)
    #expect(counts(Sampler(temperature: 1, topK: 1), draws: 10)[1] == 10)
    #expect(counts(Sampler(temperature: 1, topP: 1e-9), draws: 10)[1] == 10)
  }

  @Test(arguments: [0.5, 1, 2]) func frequenciesFollowTheSoftmax(temperature: Double) {
    let draws = 20_000
    let weights = Self.logits.map { exponential(Double($0) / temperature) }
    let total = weights.reduce(0, +)
    for (id, count) in counts(Sampler(temperature: temperature, seed: 3), draws: draws).enumerated() {
      let p = weights[id] / total
      // Five standard deviations of a binomial distribution.
      #expect(abs(Double(count) - p * Double(draws)) <= 5 * (p * (1 - p) * Double(draws)).squareRoot())
    }
  }

  @Test func topKAndTopPLeaveTheTailOut() {
    #expect(counts(Sampler(topK: 3)).map { $0 > 0 } == [false, true, false, true, true, false, false])
    // 2, 2 and 1 have 0.36, 0.36 and 0.13 of the probability.
    #expect(counts(Sampler(topP: 0.6)).map { $0 > 0 } == [false, true, false, true, false, false, false])
    #expect(counts(Sampler(topP: 0.8)).map { $0 > 0 } == [false, true, false, true, true, false, false])
    #expect(counts(Sampler(topK: 2, topP: 0.5)).map { $0 > 0 } == [false, true, false, false, false, false, false])
  }

  @Test func aDrawDependsOnSeedAndPositionOnly() {
    let logits = [Float](repeating: 0, count: 64)
    func text(_ sampler: Sampler) -> [Int32] { (0..<50).map { sampler.sample(logits, position: $0) } }
    #expect(text(Sampler(seed: 7)) == text(Sampler(seed: 7)))
    #expect(text(Sampler(seed: 7)) != text(Sampler(seed: 8)))
    #expect(Set(text(Sampler(seed: 7))).count > 20)
  }

  private func exponential(_ x: Double) -> Double {
    // The series of exp, so that the test is independent of the code under test.
    guard x.isFinite else { return 0 }
    var (sum, term) = (1.0, 1.0)
    for n in 1..<40 {
      term *= x / Double(n)
      sum += term
    }
    return sum
  }
}
