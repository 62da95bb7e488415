import Kernels
import Models

/// One way to sum gradients over ranks and to spread the updated parameters; everything else of a step is `StepModel`'s.
protocol StepVariant: AnyObject {
  /// Where the decoder's gradients go.
  var sums: any GradientAccumulator { get }
  /// What brings parameters and takes finished gradients away.
  var parameterSharding: any ParameterSharding { get }
  /// Begins a step: starts to bring what other ranks have updated, and empties the sums.
  func begin()
  /// Replaces what every rank knows by the sum over ranks; a step needs two such sums.
  func combine(_ values: inout [Int64]) throws
  /// The gradient's L2 norm, once its sums are complete.
  func gradientNorm() throws -> Double
  /// Updates what this rank owns.
  func update(_ numbers: UpdateNumbers)
}

/// What an update needs to know besides gradients.
struct UpdateNumbers {
  /// Counted from 1.
  var step: Int
  /// The clipping factor.
  var gradientScale: Float
  /// Zero: every step then computes the same, and the variants' norms can be compared.
  let learningRate = 0.0
}

/// A residence that can be exchanged between steps, so that one decoder serves all variants.
final class ExchangeableResidence: ParameterSharding {
  var current: any ParameterSharding = UnshardedParameters()

  func unshard(_ unit: Int) throws { try current.unshard(unit) }
  func reshard(_ unit: Int) throws { try current.reshard(unit) }
  func beginGradient(_ unit: Int) throws { try current.beginGradient(unit) }
  func endGradient(_ unit: Int) throws { try current.endGradient(unit) }
}
