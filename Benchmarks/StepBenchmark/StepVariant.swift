import Kernels
import Models

/// One way to reduce gradients over ranks and to gather updated parameters; everything else of a step is `StepModel`'s.
protocol StepVariant: AnyObject {
  /// The accumulator of the decoder's gradients.
  var sums: any GradientAccumulator { get }
  /// The sharding of parameters and gradients.
  var parameterSharding: any ParameterSharding { get }
  /// Begins a step: starts gathering updated parameters, and zeroes the gradients.
  func begin()
  /// All-reduces values in place; a step needs two such sums.
  func combine(_ values: inout [Int64]) throws
  /// The gradient's L2 norm, once its sums are complete.
  func gradientNorm() throws -> Double
  /// Updates this rank's shards.
  func update(_ numbers: UpdateNumbers)
}

/// The inputs of an update besides gradients.
struct UpdateNumbers {
  /// Counted from 1.
  var step: Int
  /// The clipping factor.
  var gradientScale: Float
  /// Zero: every step then computes the same, and the variants' norms can be compared.
  let learningRate = 0.0
}

/// A parameter sharding that can be exchanged between steps, so that one decoder serves all variants.
final class ExchangeableSharding: ParameterSharding {
  var current: any ParameterSharding = UnshardedParameters()
  var releasesParameters: Bool { current.releasesParameters }

  func unshard(_ unit: Int) throws { try current.unshard(unit) }
  func reshard(_ unit: Int) throws { try current.reshard(unit) }
  func beginGradient(_ unit: Int) throws { try current.beginGradient(unit) }
  func endGradient(_ unit: Int) throws { try current.endGradient(unit) }
}
