import Batches
import Kernels
import Objectives

/// The final norm, the language-model head and the objective.
extension Decoder {
  /// Computes what the pass is for: the objective's sums, the log-probabilities or the last token's logits.
  func headForward(_ pass: inout Pass) {
    let batch = pass.batch
    switch pass.purpose {
    case .losses(let objective), .training(let objective, _):
      pass.losses = objective.denominators.map { _ in 0 }
      guard batch.tokenCount > 0 else { return }
      finalNorm(batch)
      pass.losses = objective.sums(of: batch, logProbabilities: headLogProbabilities(batch))
    case .logProbabilities:
      guard batch.tokenCount > 0 else { return }
      finalNorm(batch)
      _ = headLogProbabilities(batch)
    case .lastLogits(let logits):
      finalNorm(batch)
      guard let logits else { return }
      let last = hidden(activationLayout.outputNormed, batch.tokenCount).rows(batch.tokenCount - 1..<batch.tokenCount)
      backend.multiply(MatrixProduct(last, headLinear, into: logits.matrix(1, head.rows)))
    }
  }

  /// Computes the objective's sums and the gradients of the head, the final norm and the residual stream.
  func headBackward(_ pass: inout Pass) {
    guard case .training(let objective, let gradients) = pass.purpose else {
      preconditionFailure("a pass without gradients")
    }
    let batch = pass.batch
    pass.losses = objective.denominators.map { _ in 0 }
    guard batch.tokenCount > 0 else { return }
    pass.auxiliaryLoss = balancingLoss(tokens: batch.tokenCount, of: gradients.microBatches)
    finalNorm(batch)
    switch objective.coefficients(of: batch) {
    case .perToken(let coefficient): headBackward(batch, coefficient, gradients.accumulator)
    case .perBatch(let coefficients):
      let shares = coefficients(headLogProbabilities(batch).array())
      headBackward(batch, { token, _ in shares[token] }, gradients.accumulator)
    }
    pass.losses = objective.sums(
      of: batch, logProbabilities: floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount))
  }

  private var headLinear: LinearWeight {
    linearWeight(layout.head, configuration.vocabularySize, configuration.hiddenSize)
  }

  private func finalNorm(_ batch: TokenBatch) {
    backend.rmsNorm(
      hidden(activationLayout.output, batch.tokenCount), weight: parameters[layout.finalNorm],
      epsilon: configuration.normEpsilon, into: hidden(activationLayout.outputNormed, batch.tokenCount),
      rstd: floats.buffer[activationLayout.outputScale])
  }

  /// Computes the log-probabilities of the targets, `[tokens]`, from the normed output.
  private func headLogProbabilities(
    _ batch: TokenBatch, backward: (coefficient: TokenCoefficient, weightGradient: Matrix)? = nil
  ) -> Buffer<Float> {
    let logProbabilities = floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount)
    backend.crossEntropy(
      hidden: hidden(activationLayout.outputNormed, batch.tokenCount), weight: head, linear: headLinear,
      targets: batch.targets,
      logits: floats.buffer[activationLayout.logits], logProbabilities: logProbabilities, backward: backward)
    return logProbabilities
  }

  /// Computes the gradients of the head, the final norm and the residual stream.
  private func headBackward(
    _ batch: TokenBatch, _ coefficient: @escaping TokenCoefficient, _ accumulator: any GradientAccumulator
  ) {
    let tokens = batch.tokenCount
    let headGradient = gradients.buffer.prefix(layout.head.count)
    _ = headLogProbabilities(batch, backward: (coefficient, headGradient.matrix(head.rows, head.columns)))
    let normStart = (layout.head.count + 15) / 16 * 16
    let normGradient = gradients.buffer[normStart..<normStart + layout.finalNorm.count]
    let gradient = hidden(activationLayout.gradient, tokens)
    floats.buffer[activationLayout.gradient].prefix(tokens * configuration.hiddenSize).fill(0)
    backend.rmsNormBackward(
      dy: hidden(activationLayout.outputNormed, tokens), x: hidden(activationLayout.output, tokens),
      weight: parameters[layout.finalNorm], rstd: floats.buffer[activationLayout.outputScale], addingTo: gradient,
      weightGradient: normGradient)
    accumulator.add(headGradient, at: layout.head, backend: backend)
    accumulator.add(normGradient, at: layout.finalNorm, backend: backend)
  }
}
