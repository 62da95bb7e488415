import Foundation
import Optimizers
import Testing

struct LearningRateScheduleTests {
  private func rates(_ shape: LearningRateSchedule.Shape, decaySteps: Int = 0) -> [Double] {
    let schedule = LearningRateSchedule(
      shape: shape, peak: 0.4, minimumRatio: 0.1, warmupSteps: 10, decaySteps: decaySteps, totalSteps: 110)
    return (1...110).map(schedule.learningRate)
  }

  @Test(arguments: LearningRateSchedule.Shape.allCases)
  func warmsUpLinearly(shape: LearningRateSchedule.Shape) {
    for (index, rate) in rates(shape, decaySteps: 20).prefix(10).enumerated() {
      #expect(abs(rate - 0.04 * Double(index + 1)) < 1e-12)
    }
  }

  @Test func constantStays() {
    #expect(rates(.constant).dropFirst(9).allSatisfy { $0 == 0.4 })
  }

  @Test func cosineFallsToTheMinimum() {
    let rates = rates(.cosine).dropFirst(9)
    #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 > $1 })
    #expect(rates.first == 0.4)
    #expect(abs(rates[59] - 0.22) < 1e-12, "half-way between peak and minimum")
    let quarter: Double = 0.04 + 0.36 * (1 + 0.5.squareRoot()) / 2  // cos(π/4) = √½
    #expect(abs(rates[34] - quarter) < 1e-12)
    #expect(abs(rates[109] - 0.04) < 1e-12)
  }

  @Test func wsdIsStableThenLinear() {
    let rates = rates(.wsd, decaySteps: 20)
    #expect(rates[9...89].allSatisfy { $0 == 0.4 })
    let descent = rates[89...]
    #expect(zip(descent, descent.dropFirst()).allSatisfy { abs($0 - $1 - 0.36 / 20) < 1e-12 })
    #expect(abs(rates[109] - 0.04) < 1e-12)
  }

  /// A run that is extended by `--set` past its last step stays at the minimum.
  @Test(arguments: [LearningRateSchedule.Shape.cosine, .wsd])
  func staysAtTheMinimum(shape: LearningRateSchedule.Shape) {
    let schedule = LearningRateSchedule(
      shape: shape, peak: 1, minimumRatio: 0.25, warmupSteps: 0, decaySteps: 5, totalSteps: 20)
    #expect(abs(schedule.learningRate(step: 1000) - 0.25) < 1e-12)
    #expect(schedule.learningRate(step: 1) > 0.99)
  }
}
