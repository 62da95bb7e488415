import Kernels

/// The denominator of one term of a loss, summed over all micro-batches of the global batch. Integers, so the sum is
/// exact, and known on all ranks before the first backward pass.
public struct LossDenominator: Sendable, Equatable {
  /// The number of summed losses: of tokens, or of pairs of sequences.
  public var count: Int64
  /// The sum of their weights, fixed point at 2⁻³².
  public var weight: Int64
  /// Micro-batches with weights that were not finite or too large; the step is skipped unless it is 0.
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

  /// The sum of the weights of one of `microBatches` micro-batches.
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

  /// The reciprocal of the sum of weights; 0 if that is 0, so that the term adds nothing.
  public var scale: Float { weight == 0 ? 0 : 1 / Float(Double(weight) * 0x1p-32) }

  /// The mean loss: a sum of losses, fixed point at 2⁻³² nats, divided by the sum of weights; 0 if that is 0.
  public func mean(ofSum sum: Int64) -> Double {
    weight == 0 ? 0 : LossFixedPoint.decode(sum) / (Double(weight) * 0x1p-32)
  }
}
