import Batches
import Kernels

/// One block: x ← x + attention(norm(x)); x ← x + feedForward(norm(x)).
extension Decoder {
  func blockForward(_ layer: Int, _ batch: TokenBatch) throws {
    let n = batch.tokenCount
    guard n > 0 else { return try joinForward(layer) }
    exchange.beginBlock()
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let x = input(ofLayer: layer, n)
    let middle = hidden(a.middle, n)
    let output = input(ofLayer: layer + 1, n)

    compute.rmsNorm(
      x, weight: parameters[p.inputNorm], epsilon: configuration.normEpsilon, into: hidden(a.inputNormed, n),
      rstd: floats.buffer[a.inputScale])
    compute.copy(x, to: middle)
    attentionForward(layer, batch, addingTo: middle)

    compute.rmsNorm(
      middle, weight: parameters[p.postAttentionNorm], epsilon: configuration.normEpsilon,
      into: hidden(a.middleNormed, n), rstd: floats.buffer[a.middleScale])
    compute.copy(middle, to: output)
    if configuration.sparseLayers[layer] { try sparseForward(layer, tokens: n, addingTo: output) }
    if let dense = feedForward(layer) { feedForward(dense, hidden(a.middleNormed, n), addingTo: output) }
  }

  /// A rank without a micro-batch in this round computes with its experts only.
  private func joinForward(_ layer: Int) throws {
    guard configuration.sparseLayers[layer] else { return }
    try sparseForward(layer, tokens: 0, addingTo: input(ofLayer: layer + 1, 0))
  }

  private func sparseForward(_ layer: Int, tokens n: Int, addingTo output: Matrix) throws {
    guard let piece = layout.expertsPiece(layer) else { preconditionFailure("a dense layer has no experts") }
    dispatchForward(layer, tokens: n)
    try residence.acquire(piece)
    try expertsForward(layer, tokens: n)
    try residence.release(piece)
    try combineForward(layer, tokens: n, addingTo: output)
  }

  private func sparseBackward(
    _ layer: Int, tokens n: Int, _ gradient: Matrix, into normedGradient: Matrix, auxiliaryScale: Float,
    accumulator: any GradientSums
  ) throws {
    guard let piece = layout.expertsPiece(layer) else { preconditionFailure("a dense layer has no experts") }
    dispatchBackward(layer, tokens: n, gradient, accumulator: accumulator)
    try residence.acquire(piece)
    try residence.beginGradient(piece)
    try expertsBackward(layer, tokens: n, accumulator: accumulator)
    try residence.release(piece)
    try residence.endGradient(piece)
    try combineBackward(
      layer, tokens: n, into: normedGradient, auxiliaryScale: auxiliaryScale, accumulator: accumulator)
  }

  /// Turns the residual stream's gradient after the block into the one before it, in place, and leaves the block's
  /// parameter gradients in `gradients`; those of experts are added to `accumulator` on the way.
  func blockBackward(
    _ layer: Int, _ batch: TokenBatch, auxiliaryScale: Float, accumulator: any GradientSums
  ) throws {
    let n = batch.tokenCount
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let gradient = hidden(activationLayout.gradient, n)
    let normedGradient = hidden(activationLayout.hiddenScratch, n)

    if configuration.sparseLayers[layer] {
      try sparseBackward(
        layer, tokens: n, gradient, into: normedGradient, auxiliaryScale: auxiliaryScale, accumulator: accumulator)
    }
    guard n > 0 else { return }
    if let dense = feedForward(layer) {
      feedForwardBackward(
        dense, layer, gradient, hidden(a.middleNormed, n), into: normedGradient,
        accumulate: configuration.sparseLayers[layer])
    }
    compute.rmsNormBackward(
      dy: normedGradient, x: hidden(a.middle, n), weight: parameters[p.postAttentionNorm],
      rstd: floats.buffer[a.middleScale], addingTo: gradient,
      weightGradient: gradientBuffer(p.postAttentionNorm, layer))

    attentionBackward(layer, batch, gradient, into: normedGradient)
    compute.rmsNormBackward(
      dy: normedGradient, x: hidden(a.input, n), weight: parameters[p.inputNorm], rstd: floats.buffer[a.inputScale],
      addingTo: gradient, weightGradient: gradientBuffer(p.inputNorm, layer))
  }

  /// Where the gradient of a range of a block's parameters goes.
  func gradientBuffer(_ range: Range<Int>, _ layer: Int) -> Buffer<Float> {
    let start = layout.pieces[layout.blockPiece(layer)].lowerBound
    return gradients.buffer[range.lowerBound - start..<range.upperBound - start]
  }

  // MARK: The feed-forward layer that every token visits: down(silu(gate(x)) · up(x))

  /// A dense layer's own, or the shared experts of a sparse one, which are one layer together.
  private struct FeedForward {
    let width: Int
    /// Of the parameters: `[2 · width, hidden]` and `[hidden, width]`.
    let gateUp: Range<Int>
    let down: Range<Int>
    /// Of the activations: `[N, 2 · width]`, kept for the backward pass.
    let activations: Range<Int>
  }

  private func feedForward(_ layer: Int) -> FeedForward? {
    let width = configuration.denseWidth(layer: layer)
    guard width > 0 else { return nil }
    let p = layout.blocks[layer]
    return FeedForward(
      width: width, gateUp: p.gateUp, down: p.down, activations: activationLayout.blocks[layer].denseGateUp)
  }

  private func feedForward(_ f: FeedForward, _ normed: Matrix, addingTo output: Matrix) {
    let gateUp = floats.buffer[f.activations].matrix(normed.rows, 2 * f.width)
    let activation = floats.buffer[activationLayout.activation].matrix(normed.rows, f.width)
    compute.multiply(
      MatrixProduct(normed, parameters[f.gateUp].matrix(2 * f.width, normed.columns).transposed, into: gateUp))
    compute.swiGLU(gateUp, into: activation)
    compute.multiply(
      MatrixProduct(
        activation, parameters[f.down].matrix(normed.columns, f.width).transposed, into: output, accumulate: true))
  }

  private func feedForwardBackward(
    _ f: FeedForward, _ layer: Int, _ gradient: Matrix, _ normed: Matrix, into normedGradient: Matrix, accumulate: Bool
  ) {
    let (n, hiddenSize) = (normed.rows, normed.columns)
    let gateUp = floats.buffer[f.activations].matrix(n, 2 * f.width)
    let activation = floats.buffer[activationLayout.activation].matrix(n, f.width)
    let activationGradient = floats.buffer[activationLayout.activationGradient].matrix(n, f.width)
    compute.multiply(MatrixProduct(gradient, parameters[f.down].matrix(hiddenSize, f.width), into: activationGradient))
    compute.swiGLUBackward(outGradient: activationGradient, gateUpToGradient: gateUp, out: activation)
    compute.multiply(
      MatrixProduct(
        gradient.transposed, activation, into: gradientBuffer(f.down, layer).matrix(hiddenSize, f.width)))
    compute.multiply(
      MatrixProduct(
        gateUp.transposed, normed, into: gradientBuffer(f.gateUp, layer).matrix(2 * f.width, hiddenSize)))
    compute.multiply(
      MatrixProduct(
        gateUp, parameters[f.gateUp].matrix(2 * f.width, hiddenSize), into: normedGradient, accumulate: accumulate))
  }
}
