import Kernels

/// One block: x ← x + attention(norm(x)); x ← x + feedForward(norm(x)).
extension Decoder {
  func blockForward(_ layer: Int, _ batch: MicroBatch) {
    let n = batch.tokenCount
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
    if configuration.sparseLayers[layer] {
      expertsForward(layer, tokens: n, addingTo: output)
    } else {
      feedForward(layer, tokens: n, addingTo: output)
    }
  }

  /// Turns the residual stream's gradient after the block into the one before it, in place, and leaves the block's
  /// parameter gradients in `gradients`.
  func blockBackward(_ layer: Int, _ batch: MicroBatch, auxiliaryScale: Float) {
    let n = batch.tokenCount
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let gradient = hidden(activationLayout.gradient, n)
    let normedGradient = hidden(activationLayout.hiddenScratch, n)

    if configuration.sparseLayers[layer] {
      expertsBackward(layer, tokens: n, gradient, into: normedGradient, auxiliaryScale: auxiliaryScale)
    } else {
      feedForwardBackward(layer, tokens: n, gradient, into: normedGradient)
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

  // MARK: Dense feed-forward layer: down(silu(gate(x)) · up(x))

  private func feedForward(_ layer: Int, tokens n: Int, addingTo output: Matrix) {
    let c = configuration
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let gateUp = floats.buffer[a.gateUp].matrix(n, 2 * c.intermediateSize)
    let activation = floats.buffer[activationLayout.activation].matrix(n, c.intermediateSize)
    compute.multiply(
      MatrixProduct(
        hidden(a.middleNormed, n), parameters[p.gateUp].matrix(2 * c.intermediateSize, c.hiddenSize).transposed,
        into: gateUp))
    compute.swiGLU(gateUp, into: activation)
    compute.multiply(
      MatrixProduct(
        activation, parameters[p.down].matrix(c.hiddenSize, c.intermediateSize).transposed, into: output,
        accumulate: true))
  }

  private func feedForwardBackward(_ layer: Int, tokens n: Int, _ gradient: Matrix, into normedGradient: Matrix) {
    let c = configuration
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let gateUp = floats.buffer[a.gateUp].matrix(n, 2 * c.intermediateSize)
    let activation = floats.buffer[activationLayout.activation].matrix(n, c.intermediateSize)
    let activationGradient = floats.buffer[activationLayout.activationGradient].matrix(n, c.intermediateSize)
    compute.multiply(
      MatrixProduct(gradient, parameters[p.down].matrix(c.hiddenSize, c.intermediateSize), into: activationGradient))
    compute.swiGLUBackward(outGradient: activationGradient, gateUpToGradient: gateUp, out: activation)
    compute.multiply(
      MatrixProduct(
        gradient.transposed, activation,
        into: gradientBuffer(p.down, layer).matrix(c.hiddenSize, c.intermediateSize)))
    compute.multiply(
      MatrixProduct(
        gateUp.transposed, hidden(a.middleNormed, n),
        into: gradientBuffer(p.gateUp, layer).matrix(2 * c.intermediateSize, c.hiddenSize)))
    compute.multiply(
      MatrixProduct(gateUp, parameters[p.gateUp].matrix(2 * c.intermediateSize, c.hiddenSize), into: normedGradient))
  }
}
