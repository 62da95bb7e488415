import Batches
import Kernels

/// The attention layer: projections, biases, QK-norm, clamping, rotary embedding, query scaling, attention, output
/// projection.
extension Decoder {
  func attentionShape(_ layer: Int, _ batch: TokenBatch) -> AttentionShape {
    AttentionShape(
      batch.packing, heads: configuration.heads,
      keyValueHeads: configuration.keyValueHeads, headDimension: configuration.headDimension,
      window: configuration.windows[layer])
  }

  /// Columns of queries and of keys in the fused matrix.
  var queryRange: Range<Int> { 0..<configuration.queryColumns }
  var keyRange: Range<Int> {
    configuration.queryColumns..<configuration.queryColumns + configuration.keyValueColumns
  }

  /// Computes attention from the normed residual stream to the heads' outputs, before the output projection.
  func attend(_ layer: Int, _ batch: TokenBatch) {
    let c = configuration
    let n = batch.tokenCount
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let qkv = floats.buffer[a.queryKeyValue].matrix(n, c.queryKeyValueColumns)
    let attended = floats.buffer[a.attended].matrix(n, c.queryColumns)
    backend.multiply(
      MatrixProduct(
        hidden(a.inputNormed, n), linearWeight(p.queryKeyValue, c.queryKeyValueColumns, c.hiddenSize),
        into: qkv))
    if c.attentionBias { backend.addBias(parameters[p.queryKeyValueBias], to: qkv) }
    if c.queryKeyNorm != .none {
      let before = beforeNorm(layer, n)
      backend.copy(qkv.columns(0..<before.columns), to: before)
      backend.headNorm(
        before.columns(queryRange), weight: parameters[p.queryNorm], epsilon: c.normEpsilon,
        into: qkv.columns(queryRange), rstd: floats.buffer[a.queryScale])
      backend.headNorm(
        before.columns(keyRange), weight: parameters[p.keyNorm], epsilon: c.normEpsilon, into: qkv.columns(keyRange),
        rstd: floats.buffer[a.keyScale])
    }
    if let bound = c.queryKeyValueBound {
      backend.clamp(qkv, to: bound, outside: a.clamped.isEmpty ? nil : integers.buffer[a.clamped])
    }
    rotate(qkv, batch, inverse: false)
    scaleQueries(qkv, batch)
    if let cache {
      cache.store(qkv.columns(keyRange.lowerBound..<c.queryKeyValueColumns), layer: layer, backend: backend)
      backend.cachedAttention(
        attentionShape(layer, batch), first: cache.count, queries: qkv.columns(queryRange), keys: cache.keys(layer),
        values: cache.values(layer), into: attended)
    } else {
      backend.attention(
        attentionShape(layer, batch), qkv: qkv, documentStarts: batch.documentStarts, into: attended,
        logSumExp: floats.buffer[a.logSumExp])
    }
  }

  /// The output projection.
  func projectAttended(_ layer: Int, _ n: Int, addingTo output: Matrix) {
    let c = configuration
    let p = layout.blocks[layer]
    backend.multiply(
      MatrixProduct(
        floats.buffer[activationLayout.blocks[layer].attended].matrix(n, c.queryColumns),
        linearWeight(p.output, c.hiddenSize, c.queryColumns), into: output, accumulate: true))
    if c.outputBias { backend.addBias(parameters[p.outputBias], to: output) }
  }

  func attendBackward(_ layer: Int, _ batch: TokenBatch, _ gradient: Matrix, into normedGradient: Matrix) {
    let c = configuration
    let n = batch.tokenCount
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let qkv = floats.buffer[a.queryKeyValue].matrix(n, c.queryKeyValueColumns)
    let attended = floats.buffer[a.attended].matrix(n, c.queryColumns)
    let attendedGradient = floats.buffer[activationLayout.attendedGradient].matrix(n, c.queryColumns)
    let qkvGradient = floats.buffer[activationLayout.queryKeyValueGradient].matrix(n, c.queryKeyValueColumns)

    if c.outputBias { backend.sumRows(gradient, into: gradientBuffer(p.outputBias, layer)) }
    backend.multiply(
      MatrixProduct(
        gradient.transposed, attended,
        into: gradientBuffer(p.output, layer).matrix(c.hiddenSize, c.queryColumns)))
    backend.multiply(
      MatrixProduct(gradient, parameters[p.output].matrix(c.hiddenSize, c.queryColumns), into: attendedGradient))
    backend.attentionBackward(
      attentionShape(layer, batch), qkv: qkv, documentStarts: batch.documentStarts, out: attended,
      logSumExp: floats.buffer[a.logSumExp], outGradient: attendedGradient, qkvGradient: qkvGradient)
    scaleQueries(qkvGradient, batch)
    rotate(qkvGradient, batch, inverse: true)
    if c.queryKeyValueBound != nil { backend.clampBackward(qkvGradient, outside: integers.buffer[a.clamped]) }
    if c.queryKeyNorm != .none {
      let before = beforeNorm(layer, n)
      backend.headNormBackward(
        gradient: qkvGradient.columns(queryRange), x: before.columns(queryRange), weight: parameters[p.queryNorm],
        rstd: floats.buffer[a.queryScale], weightGradient: gradientBuffer(p.queryNorm, layer))
      backend.headNormBackward(
        gradient: qkvGradient.columns(keyRange), x: before.columns(keyRange), weight: parameters[p.keyNorm],
        rstd: floats.buffer[a.keyScale], weightGradient: gradientBuffer(p.keyNorm, layer))
    }
    if c.attentionBias { backend.sumRows(qkvGradient, into: gradientBuffer(p.queryKeyValueBias, layer)) }
    backend.multiply(
      MatrixProduct(
        qkvGradient.transposed, hidden(a.inputNormed, n),
        into: gradientBuffer(p.queryKeyValue, layer).matrix(c.queryKeyValueColumns, c.hiddenSize)))
    backend.multiply(
      MatrixProduct(
        qkvGradient, parameters[p.queryKeyValue].matrix(c.queryKeyValueColumns, c.hiddenSize), into: normedGradient))
  }

  private func beforeNorm(_ layer: Int, _ tokens: Int) -> Matrix {
    floats.buffer[activationLayout.blocks[layer].queryKeyBeforeNorm].matrix(
      tokens, configuration.queryColumns + configuration.keyValueColumns)
  }

  /// Applies the rotary embedding; queries and keys are adjacent columns, so one call rotates both.
  private func rotate(_ qkv: Matrix, _ batch: TokenBatch, inverse: Bool) {
    backend.rotate(
      qkv.columns(0..<keyRange.upperBound), headDimension: configuration.headDimension, positions: batch.positions,
      cosine: rotary.cosine, sine: rotary.sine, inverse: inverse)
  }

  /// Scales queries by their position; the backward pass is the same.
  private func scaleQueries(_ qkv: Matrix, _ batch: TokenBatch) {
    guard let factors = rotary.queryScale else { return }
    backend.scaleRows(qkv.columns(queryRange), positions: batch.positions, factors: factors)
  }
}
