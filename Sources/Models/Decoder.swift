import Kernels

/// What one micro-batch adds to a step's sums. All integers, so that sums over ranks are exact.
public struct MicroBatchResult: Sendable {
  /// Σ −log p(target), fixed point at 2⁻³² nats; nil when a token's loss was not finite.
  public var loss: Int64?
  /// The load-balancing loss, times its coefficient, fixed point likewise.
  public var auxiliaryLoss: Int64?
  public var targets: Int
}

/// A Mistral-style decoder: embedding, blocks of attention and feed-forward layers, norm, head; forward and backward.
///
/// It knows nothing of ranks. Parameters are a range of an arena laid out by `ParameterLayout`; activations are planned
/// once for the largest micro-batch; nothing is allocated while it runs.
public final class Decoder {
  public let configuration: ModelConfiguration
  public let layout: ParameterLayout
  public let compute: Compute
  /// `[layout.count]`
  public let parameters: Buffer<Float>

  let activationLayout: ActivationLayout
  let floats: Arena<Float>
  let integers: Arena<Int32>
  let rotary: RotaryTables
  /// Where attention finds the tokens before those of a batch; nil when a batch holds whole sequences.
  let cache: KeyValueCache?
  /// The gradient of the piece in progress, in fp32; what is finished goes to the accumulator.
  let gradients: Arena<Float>

  /// - Parameters:
  ///   - sequences, length: the largest micro-batch.
  ///   - training: whether there will be backward passes.
  public convenience init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, sequences: Int, length: Int, training: Bool,
    compute: Compute
  ) {
    self.init(
      configuration, parameters: parameters, sequences: sequences, length: length, training: training, cache: nil,
      compute: compute)
  }

  init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, sequences: Int, length: Int, training: Bool,
    cache: KeyValueCache?, compute: Compute
  ) {
    self.configuration = configuration
    self.cache = cache
    self.compute = compute
    self.parameters = parameters
    layout = ParameterLayout(configuration)
    precondition(parameters.count == layout.count)
    activationLayout = ActivationLayout(configuration, tokens: sequences * length, training: training)
    floats = Arena(count: activationLayout.floats)
    integers = Arena(count: activationLayout.integers)
    rotary = RotaryTables(
      configuration.rotary, headDimension: configuration.headDimension, positions: cache?.capacity ?? length)
    gradients = Arena(count: training ? Self.gradientScratch(layout) : 0)
  }

  /// Bytes that a decoder allocates: what `init` will do, from the same formulas.
  public static func plannedBytes(
    _ configuration: ModelConfiguration, sequences: Int, length: Int, training: Bool
  ) -> Int {
    let activations = ActivationLayout(configuration, tokens: sequences * length, training: training)
    let gradients = training ? gradientScratch(ParameterLayout(configuration)) : 0
    let rotary = RotaryTables.floats(headDimension: configuration.headDimension, positions: length)
    return 4 * (activations.floats + activations.integers + gradients + rotary)
  }

  /// The largest gradient that exists in fp32 at one time: a block's, or the head's with the final norm's.
  private static func gradientScratch(_ layout: ParameterLayout) -> Int {
    let blocks = layout.pieces[1..<layout.pieces.count - 1].map(\.count).max() ?? 0
    return max(blocks, layout.head.count + layout.finalNorm.count + 32)
  }

  /// Computes a micro-batch's loss and adds its gradients to `accumulator`.
  ///
  /// - Parameters:
  ///   - lossScale: one over the target tokens of the global batch.
  ///   - microBatchScale: one over the micro-batches of the global batch, for the auxiliary losses.
  ///   - pieceNeeded: called before a piece's parameters are first read.
  ///   - pieceFinished: called as soon as a piece of the layout has all of this micro-batch's gradient.
  public func train(
    _ batch: MicroBatch, lossScale: Float, microBatchScale: Float, accumulator: GradientAccumulator,
    pieceNeeded: (Int) throws -> Void, pieceFinished: (Int) throws -> Void
  ) rethrows -> MicroBatchResult {
    try forward(batch, pieceNeeded: pieceNeeded)
    let auxiliaryLoss = balancingLoss(tokens: batch.tokenCount, of: Int((1 / microBatchScale).rounded()))
    let loss = headLoss(
      batch, lossCount: Int((1 / lossScale).rounded()), lossScale: lossScale, accumulator: accumulator)
    try pieceFinished(layout.headPiece)
    for layer in (0..<configuration.layers).reversed() {
      blockBackward(layer, batch, auxiliaryScale: microBatchScale)
      let piece = layout.pieces[layout.blockPiece(layer)]
      accumulator.add(gradients.buffer.prefix(piece.count), at: piece, compute: compute)
      try pieceFinished(layout.blockPiece(layer))
    }
    let gradient = hidden(activationLayout.gradient, batch.tokenCount)
    accumulator.add(rows: gradient, ids: batch.inputs, at: layout.embedding, compute: compute)
    try pieceFinished(layout.embeddingPiece)
    return MicroBatchResult(loss: loss, auxiliaryLoss: auxiliaryLoss, targets: batch.targetCount)
  }

  /// The loss of a micro-batch without gradients, summed as in `train`.
  ///
  /// - Parameter count: tokens of all micro-batches that will be summed up.
  public func evaluate(_ batch: MicroBatch, of count: Int) -> MicroBatchResult {
    forward(batch, pieceNeeded: { _ in })
    let loss = headLoss(batch, lossCount: count, lossScale: nil, accumulator: nil)
    return MicroBatchResult(loss: loss, auxiliaryLoss: nil, targets: batch.targetCount)
  }

  /// The log-probability of every target, `[sequences · length]`; 0 where there is none.
  public func logProbabilities(_ batch: MicroBatch) -> [Float] {
    forward(batch, pieceNeeded: { _ in })
    _ = headLoss(batch, lossCount: batch.tokenCount, lossScale: nil, accumulator: nil)
    return floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount).array()
  }

  /// Continues the sequence in the cache and computes the logits of what follows it, `[vocabulary]`, if wanted.
  func read(_ batch: MicroBatch, lastLogits: Buffer<Float>?) {
    forward(batch, pieceNeeded: { _ in })
    guard let lastLogits else { return }
    let last = hidden(activationLayout.outputNormed, batch.tokenCount).rows(batch.tokenCount - 1..<batch.tokenCount)
    compute.multiply(MatrixProduct(last, head.transposed, into: lastLogits.matrix(1, head.rows)))
  }

  private func forward(_ batch: MicroBatch, pieceNeeded: (Int) throws -> Void) rethrows {
    precondition(batch.tokenCount <= activationLayout.outputScale.count, "micro-batch larger than planned")
    precondition(batch.length <= rotary.cosine.rows, "sequence longer than planned")
    try pieceNeeded(layout.embeddingPiece)
    compute.embed(batch.inputs, weight: embedding, into: input(ofLayer: 0, batch.tokenCount))
    for layer in 0..<configuration.layers {
      try pieceNeeded(layout.blockPiece(layer))
      blockForward(layer, batch)
    }
    try pieceNeeded(layout.headPiece)
    compute.rmsNorm(
      hidden(activationLayout.output, batch.tokenCount), weight: parameters[layout.finalNorm],
      epsilon: configuration.normEpsilon, into: hidden(activationLayout.outputNormed, batch.tokenCount),
      rstd: floats.buffer[activationLayout.outputScale])
  }

  /// The loss, one of `lossCount` tokens' in all; with a `lossScale` also the gradients of the head, the final norm and the residual stream.
  private func headLoss(
    _ batch: MicroBatch, lossCount: Int, lossScale: Float?, accumulator: GradientAccumulator?
  ) -> Int64? {
    let tokens = batch.tokenCount
    let normed = hidden(activationLayout.outputNormed, tokens)
    let logProbabilities = floats.buffer[activationLayout.logProbabilities]
    let headGradient = gradients.buffer.prefix(lossScale == nil ? 0 : layout.head.count)
    compute.crossEntropy(
      hidden: normed, weight: head, targets: batch.targets, logits: floats.buffer[activationLayout.logits],
      logProbabilities: logProbabilities,
      backward: lossScale.map { ($0, headGradient.matrix(head.rows, head.columns)) })
    if let accumulator {
      let normStart = (layout.head.count + 15) / 16 * 16
      let normGradient = gradients.buffer[normStart..<normStart + layout.finalNorm.count]
      let gradient = hidden(activationLayout.gradient, tokens)
      floats.buffer[activationLayout.gradient].prefix(tokens * configuration.hiddenSize).fill(0)
      compute.rmsNormBackward(
        dy: normed, x: hidden(activationLayout.output, tokens), weight: parameters[layout.finalNorm],
        rstd: floats.buffer[activationLayout.outputScale], addingTo: gradient, weightGradient: normGradient)
      accumulator.add(headGradient, at: layout.head, compute: compute)
      accumulator.add(normGradient, at: layout.finalNorm, compute: compute)
    }
    var sum: Int64 = 0
    for token in 0..<tokens where batch.targets[token] >= 0 {
      guard let loss = LossFixedPoint.encode(-logProbabilities[token], of: lossCount) else { return nil }
      sum += loss
    }
    return sum
  }

  // MARK: Views

  var embedding: Matrix {
    parameters[layout.embedding].matrix(configuration.vocabularySize, configuration.hiddenSize)
  }
  var head: Matrix { parameters[layout.head].matrix(configuration.vocabularySize, configuration.hiddenSize) }

  /// A range of the activations as `[tokens, hidden]`.
  func hidden(_ range: Range<Int>, _ tokens: Int) -> Matrix {
    floats.buffer[range].matrix(tokens, configuration.hiddenSize)
  }

  /// The residual stream that enters a layer; behind the last one it is the decoder's output.
  func input(ofLayer layer: Int, _ tokens: Int) -> Matrix {
    hidden(layer < configuration.layers ? activationLayout.blocks[layer].input : activationLayout.output, tokens)
  }
}
