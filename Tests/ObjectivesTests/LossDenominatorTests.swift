import Batches
import Kernels
import Objectives
import Testing

/// Denominators and sums of losses: exact, the same for any micro-batches of a global batch, an overflow where they cannot be.
struct LossDenominatorTests {
  private func batch(_ weights: [Float], lengths: [Int]? = nil) -> TokenBatch {
    let batch = TokenBatch(SequencePacking(lengths: lengths ?? [weights.count]))
    for (token, weight) in weights.enumerated() { batch.lossWeights[token] = weight }
    return batch
  }

  @Test func weightsAddUpExactlyInAnyOrder() {
    let weights: [Float] = [0.1, 1e-7, 3, 0, 0.1, 1000.5, -0.25]
    let whole = LossDenominator(weights: weights, of: 4)
    let parts =
      LossDenominator(weights: weights.reversed().prefix(3), of: 4)
      + LossDenominator(weights: weights.reversed().dropFirst(3), of: 4)
    #expect(whole == parts && whole.count == 6 && whole.overflowCount == 0)
    #expect(abs(whole.mean(ofSum: 1 << 32) - 1 / 1003.4500001) < 1e-12)
  }

  @Test func aTermWithoutDenominatorAddsNothing() {
    let none = LossDenominator(weights: [0, 0], of: 1)
    #expect(none.scale == 0 && none.mean(ofSum: 0) == 0)
    let cancelled = LossDenominator(weights: [0.5, -0.5], of: 1)
    #expect(cancelled.scale == 0 && cancelled.mean(ofSum: 5) == 0)
  }

  @Test(arguments: [.nan, .infinity, 0x1p28 as Float]) func whatHasNoExactSumIsRefused(weight: Float) {
    #expect(LossDenominator(weights: [1, weight], of: 4).overflowCount == 1)
    let objective = NormalizedObjective(
      WeightedLanguageModeling(), of: [batch([1, weight]), batch([1]), batch([]), batch([])])
    #expect(objective.overflows)
  }

  /// Sixteen weights just below the bound reach it together.
  @Test func sumsAreBoundedToo() {
    #expect(LossDenominator(weights: [Float](repeating: 0x1p27, count: 2), of: 4).overflowCount == 1)
    #expect(LossDenominator(weights: [Float](repeating: 0x1p26, count: 3), of: 4).overflowCount == 0)
  }

  @Test func aMeanCountsTargets() {
    let objective = NormalizedObjective(LanguageModeling(), of: [batch([1, 0, 1]), batch([0.5])])
    #expect(objective.denominators == [LossDenominator(count: 3)])
    #expect(objective.denominators[0].scale == 1 / Float(3))
  }

  @Test func lossesThatCannotBeAddedUpAreRefused() {
    let batch = batch([1, 0, 2])
    let logProbabilities = Arena<Float>(count: 3)
    func sums(_ objective: any Objective, _ values: [Float]) -> [Int64]? {
      for (token, value) in values.enumerated() { logProbabilities.buffer[token] = value }
      return NormalizedObjective(objective, of: [batch]).sums(of: batch, logProbabilities: logProbabilities.buffer)
    }
    #expect(sums(LanguageModeling(), [-1, .nan, -0.5]) == [3 << 31])
    #expect(sums(WeightedLanguageModeling(), [-1, .nan, -0.5]) == [1 << 33])
    for objective in [LanguageModeling(), WeightedLanguageModeling()] as [any Objective] {
      #expect(sums(objective, [-1, 0, -.infinity]) == nil)
      #expect(sums(objective, [.nan, 0, 0]) == nil)
    }
  }
}
