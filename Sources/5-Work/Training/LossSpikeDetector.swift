import Foundation
import RunConfiguration

/// Tells steps that would harm the model: gradients that are no numbers or too large, and losses far above those before.
///
/// It remembers losses of steps, which are the same at any rank count, and a checkpoint keeps them: so a resumed run
/// judges alike.
struct LossSpikeDetector {
  private let settings: RunConfiguration.Spikes
  /// Of the last steps that were applied, oldest first.
  private(set) var losses: [Double]

  init(_ settings: RunConfiguration.Spikes, losses: [Double] = []) {
    self.settings = settings
    self.losses = losses.suffix(settings.window)
  }

  /// What is wrong with a step, in words; nil when it may be applied.
  ///
  /// - Parameters:
  ///   - overflowCount: ranks with a gradient that was not finite or out of the exact sums' range.
  ///   - gradientNorm: before clipping.
  func skipReason(loss: Double, gradientNorm: Double, overflowCount: Int64) -> String? {
    if overflowCount > 0 || !gradientNorm.isFinite { return "a gradient was not finite or too large" }
    if let maximum = settings.maximumGradientNorm, gradientNorm > maximum {
      return
        "the gradient norm \(Self.short(gradientNorm)) is above spikes.maximum_gradient_norm = \(Self.short(maximum))"
    }
    if let limit = settings.zScore, let score = zScore(loss), score > limit {
      return "the loss \(Self.short(loss)) is \(Self.short(score)) standard deviations above the last \(losses.count)"
    }
    return nil
  }

  mutating func accept(loss: Double) {
    losses.append(loss)
    if losses.count > settings.window { losses.removeFirst() }
  }

  /// Standard deviations above the mean; nil before half a window is known.
  private func zScore(_ loss: Double) -> Double? {
    guard losses.count >= settings.window / 2 else { return nil }
    let mean = losses.reduce(0, +) / Double(losses.count)
    let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(losses.count)
    return (loss - mean) / max(variance.squareRoot(), 1e-6)
  }

  private static func short(_ value: Double) -> String { String(format: "%.4g", value) }
}
