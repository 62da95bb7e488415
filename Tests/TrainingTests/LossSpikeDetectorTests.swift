import RunConfiguration
import Testing

@testable import Training

@Suite struct LossSpikeDetectorTests {
  private func guarded(_ losses: Int, zScore: Double? = 4, maximum: Double? = nil) -> LossSpikeDetector {
    let settings = RunConfiguration.Spikes(policy: .skip, zScore: zScore, window: 32, maximumGradientNorm: maximum)
    var spikes = LossSpikeDetector(settings)
    for index in 0..<losses { spikes.accept(loss: 2 + 0.1 * Double(index % 3)) }
    return spikes
  }

  @Test func aLossFarAboveTheLastOnesIsASpike() {
    #expect(guarded(32).skipReason(loss: 2.3, gradientNorm: 1, overflowCount: 0) == nil)
    #expect(guarded(32).skipReason(loss: 3, gradientNorm: 1, overflowCount: 0)?.contains("standard deviations") == true)
    #expect(guarded(32).skipReason(loss: 0.5, gradientNorm: 1, overflowCount: 0) == nil, "a better loss is none")
    #expect(guarded(15).skipReason(loss: 3, gradientNorm: 1, overflowCount: 0) == nil, "too few to tell")
    #expect(guarded(32, zScore: nil).skipReason(loss: 3, gradientNorm: 1, overflowCount: 0) == nil)
  }

  @Test func gradientsThatAreNoNumbersOrTooLargeAre() {
    #expect(guarded(0).skipReason(loss: 2, gradientNorm: .nan, overflowCount: 0) != nil)
    #expect(guarded(0).skipReason(loss: 2, gradientNorm: 1, overflowCount: 1) != nil)
    #expect(guarded(0, maximum: 5).skipReason(loss: 2, gradientNorm: 6, overflowCount: 0) != nil)
    #expect(guarded(0, maximum: 5).skipReason(loss: 2, gradientNorm: 5, overflowCount: 0) == nil)
  }

  @Test func onlyTheWindowIsRemembered() {
    let spikes = guarded(100)
    #expect(spikes.losses.count == 32)
    let settings = RunConfiguration.Spikes(policy: .skip, zScore: 4, window: 32, maximumGradientNorm: nil)
    #expect(LossSpikeDetector(settings, losses: spikes.losses).losses == spikes.losses)
  }

  @Test func batchesThatWereTakenOutArePassedOver() {
    var progress = TrainingStep.Progress(spikes: guarded(0))
    progress.skippedBatches = [2, 3, 6]
    #expect((1...6).map { progress.batch(ofStep: $0) } == [0, 1, 4, 5, 7, 8])
  }
}
