public import Batches
public import Kernels

/// Causal language modelling: the mean of −log p(target) over the targets with a loss weight, nats per token.
public struct LanguageModeling: Objective {
  public let terms = ["loss"]

  public init() {}

  public func denominators(of batch: TokenBatch, microBatches: Int) -> [LossDenominator] {
    [LossDenominator(count: batch.lossWeights.pointer.count { $0 != 0 })]
  }

  public func coefficients(of batch: TokenBatch, denominators: [LossDenominator]) -> LossCoefficients {
    let (weights, scale) = (batch.lossWeights, denominators[0].scale)
    return .perToken { token, _ in weights[token] == 0 ? 0 : scale }
  }

  public func sums(of batch: TokenBatch, logProbabilities: Buffer<Float>, denominators: [LossDenominator]) -> [Int64]? {
    batch.sumOfLosses(count: denominators[0].count) { weights, token in
      weights[token] == 0 ? nil : -logProbabilities[token]
    }
  }
}

/// Weighted language modelling: Σ w · −log p(target) / Σ w, where w are the batch's loss weights, which may be
/// fractions.
///
/// With weights that are 0 or 1 it equals `LanguageModeling`, to the bit.
public struct WeightedLanguageModeling: Objective {
  public let terms = ["loss"]

  public init() {}

  public func denominators(of batch: TokenBatch, microBatches: Int) -> [LossDenominator] {
    [LossDenominator(weights: batch.lossWeights.pointer, of: microBatches)]
  }

  public func coefficients(of batch: TokenBatch, denominators: [LossDenominator]) -> LossCoefficients {
    let (weights, scale) = (batch.lossWeights, denominators[0].scale)
    return .perToken { token, _ in weights[token] * scale }
  }

  public func sums(of batch: TokenBatch, logProbabilities: Buffer<Float>, denominators: [LossDenominator]) -> [Int64]? {
    batch.sumOfLosses(count: denominators[0].count) { weights, token in
      weights[token] == 0 ? nil : -weights[token] * logProbabilities[token]
    }
  }
}

extension TokenBatch {
  /// The sum of a term over the losses of tokens; nil on overflow.
  ///
  /// - Parameters:
  ///   - count: losses summed in the global batch.
  ///   - loss: of a token, nats; nil for one without a loss.
  fileprivate func sumOfLosses(count: Int64, loss: (_ weights: Buffer<Float>, _ token: Int) -> Float?) -> [Int64]? {
    let weights = lossWeights
    var sum: Int64 = 0
    for token in 0..<tokenCount {
      guard let loss = loss(weights, token) else { continue }
      guard let part = LossFixedPoint.encode(loss, of: max(1, Int(count))) else { return nil }
      sum += part
    }
    return [sum]
  }
}
