import Foundation
import RunConfiguration

/// Loss-spike detector: rejects steps whose gradients are not finite or too large, or whose loss is far above the
/// preceding ones.
///
/// Its state is the losses of recent steps, which are the same at any rank count and are saved in checkpoints, so a
/// resumed run decides alike.
struct LossSpikeDetector {
  private let settings: RunConfiguration.Spikes
  /// The losses of the last applied steps, oldest first.
  private(set) var losses: [Double]

  init(_ settings: RunConfiguration.Spikes, losses: [Double] = []) {
    self.settings = settings
    self.losses = losses.suffix(settings.window)
  }

  /// The reason to skip a step, as text; nil when it is to be applied.
  ///
  /// - Parameters:
  ///   - overflowCount: number of losses and gradients that were not finite or outside the range of exact sums.
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

  /// The z-score of a loss: standard deviations above the mean; nil until half a window is filled.
  private func zScore(_ loss: Double) -> Double? {
    guard losses.count >= settings.window / 2 else { return nil }
    let mean = losses.reduce(0, +) / Double(losses.count)
    let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(losses.count)
    return (loss - mean) / max(variance.squareRoot(), 1e-6)
  }

  private static func short(_ value: Double) -> String { String(format: "%.4g", value) }
}
