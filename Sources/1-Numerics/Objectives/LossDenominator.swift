import Kernels

/// What one term of a loss is divided by, summed over all micro-batches of the global batch. Integers, so the sum is exact
/// and the same on all ranks before the first backward pass.
public struct LossDenominator: Sendable, Equatable {
  /// Losses that are added up: tokens, or pairs of sequences.
  public var count: Int64
  /// The sum of their weights, fixed point at 2⁻³².
  public var weight: Int64
  /// Micro-batches whose weights were not finite or too large; the step has to be skipped unless it is 0.
  public var overflowCount: Int64

  public init(count: Int64 = 0, weight: Int64 = 0, overflowCount: Int64 = 0) {
    self.count = count
    self.weight = weight
    self.overflowCount = overflowCount
  }

  /// The denominator of a plain mean: every loss has weight 1.
  public init(count: Int) {
    self.init(count: Int64(count), weight: Int64(count) << 32)
  }

  /// The sum of some losses' weights in one of `microBatches` micro-batches.
  ///
  /// A micro-batch's sum that reaches 2³⁰ / `microBatches` overflows, so that the global batch's cannot.
  public init(weights: some Sequence<Float>, of microBatches: Int) {
    self.init()
    for value in weights where value != 0 {
      guard let part = LossFixedPoint.encode(value, of: microBatches),
        abs(weight + part) < 1 << 62 / Int64(microBatches)
      else {
        overflowCount = 1
        return
      }
      count += 1
      weight += part
    }
  }

  public static func + (left: LossDenominator, right: LossDenominator) -> LossDenominator {
    LossDenominator(
      count: left.count + right.count, weight: left.weight + right.weight,
      overflowCount: left.overflowCount + right.overflowCount)
  }

  /// One over the sum of the weights; 0 where there are none, so that a term without a denominator adds nothing.
  public var scale: Float { weight == 0 ? 0 : 1 / Float(Double(weight) * 0x1p-32) }

  /// A sum of losses, fixed point at 2⁻³² nats, divided by the sum of the weights; 0 where there are none.
  public func mean(ofSum sum: Int64) -> Double {
    weight == 0 ? 0 : LossFixedPoint.decode(sum) / (Double(weight) * 0x1p-32)
  }
}
