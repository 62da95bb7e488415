import CKernels

/// The hyperparameters of one AdamW step, the same for every element of a range.
public struct AdamWStep: Sendable {
  public var learningRate: Double
  public var beta1: Double
  public var beta2: Double
  public var epsilon: Double
  public var weightDecay: Double
  /// Counted from 1.
  public var step: Int

  public init(learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, step: Int) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.step = step
  }

  fileprivate var settings: ck_adamw {
    ck_adamw(
      decay: Float(1 - learningRate * weightDecay), step_size: Float(learningRate / (1 - power(beta1, step))),
      new_first: Float(1 - beta1), new_second: Float(1 - beta2), beta2: Float(beta2),
      second_correction: Float(1 / (1 - power(beta2, step)).squareRoot()), epsilon: Float(epsilon))
  }

  /// Exponentiation by squaring, so that the bits do not depend on a math library.
  private func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, factor, rest) = (1.0, base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result *= factor }
      factor *= factor
      rest >>= 1
    }
    return result
  }
}

extension Backend {
  /// One AdamW update (Loshchilov & Hutter 2019, "Decoupled weight decay regularization") of a range.
  ///
  /// - Parameters:
  ///   - accumulator: the exact gradient sum, which is converted to fp32 by chunks.
  ///   - gradientScale: the clipping factor.
  ///   - first, second, parameters: moments and weights, updated in place.
  public func adamW(
    _ step: AdamWStep, gradientScale: Float, accumulator: Buffer<Int64>, first: Buffer<Float>, second: Buffer<Float>,
    parameters: Buffer<Float>
  ) {
    precondition(accumulator.count == parameters.count)
    adamW(step, gradientScale: gradientScale, first: first, second: second, parameters: parameters) {
      [self] range, thread in
      let gradient = scratch(thread).base
      table.from_fixed(Int64(range.count), accumulator.base + range.lowerBound, gradient)
      return UnsafePointer(gradient)
    }
  }

  /// The same update from an fp32 gradient; the baseline of `Benchmarks`.
  public func adamW(
    _ step: AdamWStep, gradientScale: Float, gradient: Buffer<Float>, first: Buffer<Float>, second: Buffer<Float>,
    parameters: Buffer<Float>
  ) {
    precondition(gradient.count == parameters.count)
    adamW(step, gradientScale: gradientScale, first: first, second: second, parameters: parameters) { range, _ in
      UnsafePointer(gradient.base + range.lowerBound)
    }
  }

  /// - Parameter gradient: the gradient of a range of the elements, perhaps in a thread's scratch memory.
  private func adamW(
    _ step: AdamWStep, gradientScale: Float, first: Buffer<Float>, second: Buffer<Float>, parameters: Buffer<Float>,
    gradient: @Sendable (_ range: Range<Int>, _ thread: Int) -> UnsafePointer<Float>
  ) {
    precondition(first.count == parameters.count && second.count == parameters.count)
    let settings = step.settings
    team.forEachChunk(of: parameters.count, size: Self.elementsPerTask) { [table] range, thread in
      withUnsafePointer(to: settings) {
        table.adamw(
          Int64(range.count), $0, gradientScale, gradient(range, thread), first.base + range.lowerBound,
          second.base + range.lowerBound, parameters.base + range.lowerBound)
      }
    }
  }
}
