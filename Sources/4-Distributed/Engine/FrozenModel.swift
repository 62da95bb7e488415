public import Batches
public import Models

/// A frozen model, such as a reference policy, which shares the activation workspace of a model in training.
public final class FrozenModel {
  public let parameterSet: ParameterSet
  public let decoder: Decoder

  init(parameterSet: ParameterSet, decoder: Decoder) {
    self.parameterSet = parameterSet
    self.decoder = decoder
  }

  /// The log-probability of every target of a micro-batch, `[tokens]`. Collective, empty micro-batches included.
  ///
  /// - Throws: `MPIError`.
  public func logProbabilities(_ batch: TokenBatch) throws -> [Float] {
    parameterSet.state.beginMicroStep(decoder.evaluationSchedule, last: false)
    return try decoder.logProbabilities(batch)
  }
}
