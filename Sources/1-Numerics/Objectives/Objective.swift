public import Batches
public import Kernels

/// A training objective: the loss as a function of the log-probabilities of a batch's targets and of its columns.
///
/// A loss is the sum of one or more terms; each term is a sum over the global batch divided by a denominator of its
/// own. Denominators and sums are integers (fixed point at 2⁻³²), so they are exact at any number of ranks. On an
/// overflow all ranks skip the step.
public protocol Objective: Sendable {
  /// Names of the terms, in the order of denominators and sums.
  var terms: [String] { get }

  /// A micro-batch's contribution to the denominator of each term, `[terms]`.
  ///
  /// - Parameter microBatches: of the global batch.
  func denominators(of batch: TokenBatch, microBatches: Int) -> [LossDenominator]

  /// The gradient with respect to the log-probabilities: a coefficient for each token, −∂loss/∂log p(target).
  ///
  /// - Parameter denominators: of the global batch, `[terms]`.
  func coefficients(of batch: TokenBatch, denominators: [LossDenominator]) -> LossCoefficients

  /// A micro-batch's contribution to the sum of each term, `[terms]`, fixed point at 2⁻³² nats.
  ///
  /// - Parameters:
  ///   - logProbabilities: `[tokens]`, of the targets; 0 where there is none.
  ///   - denominators: of the global batch.
  /// - Returns: nil when a loss is not finite, or so large that the global batch's sum could overflow.
  func sums(of batch: TokenBatch, logProbabilities: Buffer<Float>, denominators: [LossDenominator]) -> [Int64]?
}

/// How an objective computes coefficients from log-probabilities.
public enum LossCoefficients: Sendable {
  /// A token's coefficient depends on its own log-probability only, so the head computes its logits once.
  case perToken(TokenCoefficient)
  /// Coefficients depend on the log-probabilities of the whole micro-batch, `[tokens]`: the head computes its logits
  /// twice.
  case perBatch(@Sendable (_ logProbabilities: [Float]) -> [Float])
}

/// An objective with the denominators of its global batch, as a backward pass needs it.
public struct NormalizedObjective: Sendable {
  public let objective: any Objective
  /// Of the global batch, `[terms]`.
  public let denominators: [LossDenominator]

  public init(_ objective: any Objective, denominators: [LossDenominator]) {
    precondition(denominators.count == objective.terms.count, "every term has a denominator")
    self.objective = objective
    self.denominators = denominators
  }

  /// The objective of a global batch whose micro-batches are all local.
  public init(_ objective: any Objective, of batches: [TokenBatch]) {
    self.init(objective, denominators: Self.denominators(objective, of: batches, microBatches: batches.count))
  }

  /// The sum of some micro-batches' denominators, `[terms]`.
  public static func denominators(
    _ objective: any Objective, of batches: [TokenBatch], microBatches: Int
  ) -> [LossDenominator] {
    batches.reduce(objective.terms.map { _ in LossDenominator() }) { sums, batch in
      zip(sums, objective.denominators(of: batch, microBatches: microBatches)).map(+)
    }
  }

  public func coefficients(of batch: TokenBatch) -> LossCoefficients {
    objective.coefficients(of: batch, denominators: denominators)
  }

  public func sums(of batch: TokenBatch, logProbabilities: Buffer<Float>) -> [Int64]? {
    objective.sums(of: batch, logProbabilities: logProbabilities, denominators: denominators)
  }

  /// The loss: the sum of the terms' means, nats.
  ///
  /// - Parameter sums: over the global batch, `[terms]`.
  public func loss(ofSums sums: [Int64]) -> Double {
    zip(denominators, sums).reduce(0) { $0 + $1.0.mean(ofSum: $1.1) }
  }

  /// Whether a denominator overflowed; the step must be skipped.
  public var overflows: Bool { denominators.contains { $0.overflowCount > 0 } }
}
