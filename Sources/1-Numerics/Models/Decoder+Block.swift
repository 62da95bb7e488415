import Batches
import Kernels

/// One transformer block: x ← x + attention(norm(x)); x ← x + feedForward(norm(x)).
///
/// In the backward pass the gradient of the residual stream is updated in place. The block's parameter gradients are
/// left in `gradients`; those of experts are added to the exact sums at once.
extension Decoder {
  /// Computes x + attention(norm(x)), and its norm.
  func attentionForward(_ layer: Int, _ batch: TokenBatch) {
    let n = batch.tokenCount
    guard n > 0 else { return }
    exchange.beginBlock()
    let a = activationLayout.blocks[layer]
    inputNorm(layer, n)
    attend(layer, batch)
    afterAttention(layer, n)
    backend.copy(hidden(a.middle, n), to: input(ofLayer: layer + 1, n))
  }

  /// Recomputes what `attentionForward` did not keep.
  func attentionRecompute(_ layer: Int, _ batch: TokenBatch) {
    guard batch.tokenCount > 0 else { return }
    inputNorm(layer, batch.tokenCount)
    attend(layer, batch)
    if recomputation == .block { afterAttention(layer, batch.tokenCount) }
  }

  private func inputNorm(_ layer: Int, _ n: Int) {
    let a = activationLayout.blocks[layer]
    backend.rmsNorm(
      input(ofLayer: layer, n), weight: parameters[layout.blocks[layer].inputNorm], epsilon: configuration.normEpsilon,
      into: hidden(a.inputNormed, n), rstd: floats.buffer[a.inputScale])
  }

  /// Applies the output projection, the residual connection and the post-attention norm.
  private func afterAttention(_ layer: Int, _ n: Int) {
    let a = activationLayout.blocks[layer]
    let middle = hidden(a.middle, n)
    backend.copy(input(ofLayer: layer, n), to: middle)
    projectAttended(layer, n, addingTo: middle)
    backend.rmsNorm(
      middle, weight: parameters[layout.blocks[layer].postAttentionNorm], epsilon: configuration.normEpsilon,
      into: hidden(a.middleNormed, n), rstd: floats.buffer[a.middleScale])
  }

  func attentionBackward(_ layer: Int, _ batch: TokenBatch) {
    let n = batch.tokenCount
    guard n > 0 else { return }
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let gradient = hidden(activationLayout.gradient, n)
    let normedGradient = hidden(activationLayout.hiddenScratch, n)
    backend.rmsNormBackward(
      dy: normedGradient, x: hidden(a.middle, n), weight: parameters[p.postAttentionNorm],
      rstd: floats.buffer[a.middleScale], addingTo: gradient,
      weightGradient: gradientBuffer(p.postAttentionNorm, layer))
    attendBackward(layer, batch, gradient, into: normedGradient)
    backend.rmsNormBackward(
      dy: normedGradient, x: hidden(a.input, n), weight: parameters[p.inputNorm], rstd: floats.buffer[a.inputScale],
      addingTo: gradient, weightGradient: gradientBuffer(p.inputNorm, layer))
  }

  /// Accumulates a block's gradients, without its experts', into the exact sums.
  func addGradients(_ layer: Int, _ batch: TokenBatch, to accumulator: any GradientAccumulator) {
    guard batch.tokenCount > 0 else { return }
    let unit = layout.units[layout.blockUnit(layer)]
    accumulator.add(gradients.buffer.prefix(unit.count), at: unit, backend: backend)
  }

  /// The scratch buffer for the gradient of a range of a block's parameters.
  func gradientBuffer(_ range: Range<Int>, _ layer: Int) -> Buffer<Float> {
    let start = layout.units[layout.blockUnit(layer)].lowerBound
    return gradients.buffer[range.lowerBound - start..<range.upperBound - start]
  }

  // MARK: The dense feed-forward layer: down(silu(gate(x)) · up(x))

  /// The operands of a dense feed-forward layer, or of a sparse layer's shared experts, which are one layer together; W
  /// columns wide.
  private struct FeedForward {
    /// Parameters: `[2 · W, hidden]` and `[hidden, W]`.
    let gateUpWeight: Matrix
    let downWeight: Matrix
    let gateUpLinear: LinearWeight
    let downLinear: LinearWeight
    /// Activations: `[N, hidden]`, `[N, 2 · W]` and, as scratch, `[N, W]`.
    let normed: Matrix
    let gateUp: Matrix
    let activation: Matrix
  }

  private func feedForwardLayer(_ layer: Int, _ n: Int) -> FeedForward {
    let width = configuration.denseWidth(layer: layer)
    let hiddenSize = configuration.hiddenSize
    let (p, a) = (layout.blocks[layer], activationLayout.blocks[layer])
    return FeedForward(
      gateUpWeight: parameters[p.gateUp].matrix(2 * width, hiddenSize),
      downWeight: parameters[p.down].matrix(hiddenSize, width),
      gateUpLinear: linearWeight(p.gateUp, 2 * width, hiddenSize),
      downLinear: linearWeight(p.down, hiddenSize, width), normed: hidden(a.middleNormed, n),
      gateUp: floats.buffer[a.denseGateUp].matrix(n, 2 * width),
      activation: floats.buffer[activationLayout.activation].matrix(n, width))
  }

  func feedForward(_ layer: Int, _ batch: TokenBatch) {
    let n = batch.tokenCount
    guard n > 0 else { return }
    let f = feedForwardLayer(layer, n)
    backend.multiply(MatrixProduct(f.normed, f.gateUpLinear, into: f.gateUp))
    backend.swiGLU(f.gateUp, into: f.activation)
    backend.multiply(
      MatrixProduct(
        f.activation, f.downLinear, into: input(ofLayer: layer + 1, n), accumulate: true))
  }

  /// Recomputes what `feedForward` did not keep.
  func feedForwardRecompute(_ layer: Int, _ batch: TokenBatch) {
    guard batch.tokenCount > 0 else { return }
    let f = feedForwardLayer(layer, batch.tokenCount)
    backend.multiply(MatrixProduct(f.normed, f.gateUpLinear, into: f.gateUp))
  }

  func feedForwardBackward(_ layer: Int, _ batch: TokenBatch) {
    let n = batch.tokenCount
    guard n > 0 else { return }
    let f = feedForwardLayer(layer, n)
    let p = layout.blocks[layer]
    let gradient = hidden(activationLayout.gradient, n)
    let activationGradient = floats.buffer[activationLayout.activationGradient].matrix(n, f.activation.columns)
    backend.multiply(MatrixProduct(gradient, f.downWeight, into: activationGradient))
    backend.swiGLUBackward(outGradient: activationGradient, gateUpToGradient: f.gateUp, out: f.activation)
    backend.multiply(
      MatrixProduct(
        gradient.transposed, f.activation,
        into: gradientBuffer(p.down, layer).matrix(f.downWeight.rows, f.downWeight.columns)))
    backend.multiply(
      MatrixProduct(
        f.gateUp.transposed, f.normed,
        into: gradientBuffer(p.gateUp, layer).matrix(f.gateUpWeight.rows, f.gateUpWeight.columns)))
    backend.multiply(
      MatrixProduct(
        f.gateUp, f.gateUpWeight, into: hidden(activationLayout.hiddenScratch, n),
        accumulate: configuration.sparseLayers[layer]))
  }
}
