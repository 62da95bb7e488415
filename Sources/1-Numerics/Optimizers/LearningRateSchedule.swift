import Foundation

/// The learning-rate schedule: linear warm-up, then one of three shapes.
public struct LearningRateSchedule: Sendable, Equatable {
  public enum Shape: String, Sendable, CaseIterable {
    case constant
    /// Half a cosine from the peak to the minimum (Loshchilov & Hutter 2017).
    case cosine
    /// Warm-up, stable, decay: constant, then linear to the minimum (Hu et al. 2024, MiniCPM).
    case wsd
  }

  public var shape: Shape
  public var peak: Double
  /// The final learning rate of cosine and wsd, as a fraction of the peak.
  public var minimumRatio: Double
  public var warmupSteps: Int
  /// wsd only: steps of the final decay.
  public var decaySteps: Int
  public var totalSteps: Int

  public init(
    shape: Shape, peak: Double, minimumRatio: Double = 0, warmupSteps: Int, decaySteps: Int = 0, totalSteps: Int
  ) {
    self.shape = shape
    self.peak = peak
    self.minimumRatio = minimumRatio
    self.warmupSteps = warmupSteps
    self.decaySteps = decaySteps
    self.totalSteps = totalSteps
  }

  /// The learning rate of a step. The last warm-up step has the peak; the last step of a decay has the minimum.
  ///
  /// - Parameter step: counted from 1.
  public func learningRate(step: Int) -> Double {
    if step < warmupSteps { return peak * Double(step) / Double(warmupSteps) }
    switch shape {
    case .constant: return peak
    case .cosine:
      let progress = Double(step - warmupSteps) / Double(max(1, totalSteps - warmupSteps))
      let cosine = 0.5 * (1 + cos(Double.pi * min(1, progress)))
      return peak * (minimumRatio + (1 - minimumRatio) * cosine)
    case .wsd:
      let left = totalSteps - step
      guard left < decaySteps else { return peak }
      return peak * (minimumRatio + (1 - minimumRatio) * Double(max(0, left)) / Double(decaySteps))
    }
  }
}
