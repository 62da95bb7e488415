public import Batches
public import Kernels
public import Objectives

/// What one micro-batch adds to a step's sums. All integers, so that sums over ranks are exact.
public struct MicroBatchResult: Sendable {
  /// By term of the objective, what it adds to the sum, fixed point at 2⁻³² nats; nil when that cannot be added up.
  public var losses: [Int64]?
  /// The load-balancing loss, times its coefficient, fixed point likewise.
  public var auxiliaryLoss: Int64?
  /// Tokens that went to each expert, `[sparse layers · experts]`.
  public var expertLoads: [Int]
}

/// A Mistral-style decoder: embedding, blocks of attention and feed-forward layers, norm, head; forward and backward.
///
/// It knows nothing of ranks. Parameters are a range of an arena laid out by `ParameterLayout`; activations are planned
/// once for the largest micro-batch and live in a workspace, which other decoders may use in turn; nothing is allocated
/// while it runs.
public final class Decoder {
  public let configuration: ModelConfiguration
  public let layout: ParameterLayout
  public let compute: Compute
  /// `[layout.count]`
  public let parameters: Buffer<Float>

  let activationLayout: ActivationLayout
  let workspace: Workspace
  let rotary: RotaryTables
  /// Where attention finds the tokens before those of a batch; nil when a batch holds whole sequences.
  let cache: KeyValueCache?
  let residence: any ParameterResidence
  let dispatcher: any TokenDispatcher
  /// By layer, the last forward pass's dispatch.
  var rounds: [DispatchRound?]
  var paceMeter = PaceMeter()

  /// - Parameters:
  ///   - sequences, length: of the largest micro-batch; several shorter sequences may take their place.
  ///   - training: whether there will be backward passes.
  ///   - residence, dispatcher: where parameters and experts are; by default all of them are here.
  ///   - workspace: planned for this decoder among others; nil for one of its own.
  public convenience init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, sequences: Int, length: Int, training: Bool,
    residence: any ParameterResidence = LocalResidence(), dispatcher: (any TokenDispatcher)? = nil,
    workspace: Workspace? = nil, compute: Compute
  ) {
    let dispatcher = dispatcher ?? LocalDispatcher(experts: configuration.experts?.count ?? 0)
    let plan = WorkspacePlan(
      configuration, sequences: sequences, length: length, training: training, dispatcher: dispatcher)
    self.init(
      configuration, parameters: parameters, plan: plan, positions: length, residence: residence,
      dispatcher: dispatcher, workspace: workspace ?? Workspace([plan]), compute: compute)
  }

  /// A decoder in a workspace that others use too.
  ///
  /// - Parameters:
  ///   - plan: of this decoder. A model that is only evaluated may use the plan of one that is alike and is trained, and so
  ///     the same pages of its memory.
  ///   - positions: of the longest sequence.
  public convenience init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, plan: WorkspacePlan, positions: Int,
    residence: any ParameterResidence, dispatcher: any TokenDispatcher, workspace: Workspace, compute: Compute
  ) {
    self.init(
      configuration, parameters: parameters, plan: plan, positions: positions, residence: residence,
      dispatcher: dispatcher, cache: nil, workspace: workspace, compute: compute)
  }

  init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, plan: WorkspacePlan, positions: Int,
    residence: any ParameterResidence, dispatcher: any TokenDispatcher, cache: KeyValueCache?, workspace: Workspace,
    compute: Compute
  ) {
    layout = ParameterLayout(configuration)
    precondition(parameters.count == layout.count)
    precondition(workspace.fits(plan), "the workspace was planned for smaller decoders")
    self.configuration = configuration
    self.parameters = parameters
    self.residence = residence
    self.dispatcher = dispatcher
    self.cache = cache
    self.workspace = workspace
    self.compute = compute
    activationLayout = plan.activations
    rounds = Array(repeating: nil, count: configuration.layers)
    rotary = workspace.tables(
      configuration.rotary, headDimension: configuration.headDimension, positions: positions)
  }

  /// The arenas of the workspace.
  var floats: Arena<Float> { workspace.floats }
  var integers: Arena<Int32> { workspace.integers }
  var gradients: Arena<Float> { workspace.gradients }
  var shadows: Arena<Float> { workspace.shadows }

  /// Bytes that a decoder uses: what `init` will do, from the same formulas.
  ///
  /// - Parameters:
  ///   - experts: experts of a layer that are computed here; nil for all.
  ///   - arrivals: rows that arrive for a number of own rows: an expectation, where `init` plans for the worst.
  ///   - positions: of the longest sequence; nil for `length`.
  public static func plannedBytes(
    _ configuration: ModelConfiguration, sequences: Int, length: Int, training: Bool, experts: Int? = nil,
    arrivals: ((Int) -> ArrivingRows)? = nil, positions: Int? = nil
  ) -> Int {
    let plan = WorkspacePlan(
      configuration, sequences: sequences, length: length, training: training, experts: experts, arrivals: arrivals)
    return plan.bytes
      + 4
      * RotaryTables.floats(
        configuration.rotary, headDimension: configuration.headDimension, positions: positions ?? length)
  }

  /// Computes a micro-batch's loss and adds its gradients to `accumulator`. An empty micro-batch joins a round of ranks
  /// that have one: it computes with this rank's experts, and acquires the same pieces in the same order.
  ///
  /// - Parameters:
  ///   - objective: with the denominators of the global batch.
  ///   - microBatches: of the global batch: the denominator of the auxiliary losses.
  /// - Throws: what the residence and the dispatcher throw.
  public func train(
    _ batch: TokenBatch, objective: NormalizedObjective, microBatches: Int, accumulator: any GradientSums
  ) throws -> MicroBatchResult {
    let auxiliaryScale = 1 / Float(microBatches)
    try forward(batch)
    let auxiliaryLoss = batch.tokenCount == 0 ? 0 : balancingLoss(tokens: batch.tokenCount, of: microBatches)
    try residence.acquire(layout.headPiece)
    try residence.beginGradient(layout.headPiece)
    if isTied { try residence.beginGradient(layout.embeddingPiece) }
    let losses = headLosses(batch, objective, accumulator: accumulator)
    try residence.endGradient(layout.headPiece)
    try releaseHead()
    for layer in (0..<configuration.layers).reversed() {
      try residence.acquire(layout.blockPiece(layer))
      try blockBackward(layer, batch, auxiliaryScale: auxiliaryScale, accumulator: accumulator)
      try residence.beginGradient(layout.blockPiece(layer))
      if batch.tokenCount > 0 {
        let piece = layout.pieces[layout.blockPiece(layer)]
        accumulator.add(gradients.buffer.prefix(piece.count), at: piece, compute: compute)
      }
      try residence.endGradient(layout.blockPiece(layer))
      try residence.release(layout.blockPiece(layer))
    }
    if !isTied { try residence.beginGradient(layout.embeddingPiece) }
    let gradient = hidden(activationLayout.gradient, batch.tokenCount)
    accumulator.add(rows: gradient, ids: batch.inputs, at: layout.embedding, compute: compute)
    try residence.endGradient(layout.embeddingPiece)
    return MicroBatchResult(losses: losses, auxiliaryLoss: auxiliaryLoss, expertLoads: expertLoads)
  }

  /// The loss of a micro-batch without gradients, summed as in `train`; an empty one joins a round likewise.
  ///
  /// - Parameter objective: with the denominators of all micro-batches that will be summed up.
  /// - Throws: as `train`.
  public func evaluate(_ batch: TokenBatch, objective: NormalizedObjective) throws -> MicroBatchResult {
    try forward(batch)
    try residence.acquire(layout.headPiece)
    let losses = headLosses(batch, objective, accumulator: nil)
    try releaseHead()
    return MicroBatchResult(losses: losses, auxiliaryLoss: 0, expertLoads: expertLoads)
  }

  /// The log-probability of every target, `[tokens]`; 0 where there is none. An empty micro-batch joins a round.
  ///
  /// - Throws: as `train`.
  public func logProbabilities(_ batch: TokenBatch) throws -> [Float] {
    try forward(batch)
    try residence.acquire(layout.headPiece)
    var logProbabilities: [Float] = []
    if batch.tokenCount > 0 {
      finalNorm(batch)
      logProbabilities = headLogProbabilities(batch).array()
    }
    try releaseHead()
    return logProbabilities
  }

  /// Continues the sequence in the cache and computes the logits of what follows it, `[vocabulary]`, if wanted.
  func read(_ batch: TokenBatch, lastLogits: Buffer<Float>?) {
    locally { try forward(batch) }
    finalNorm(batch)
    guard let lastLogits else { return }
    let last = hidden(activationLayout.outputNormed, batch.tokenCount).rows(batch.tokenCount - 1..<batch.tokenCount)
    compute.multiply(MatrixProduct(last, head.transposed, into: lastLogits.matrix(1, head.rows)))
  }

  /// Where nothing is elsewhere, nothing can fail.
  private func locally(_ body: () throws -> Void) {
    do { try body() } catch { preconditionFailure("a local decoder failed: \(error)") }
  }

  /// All blocks; the head follows. A tied embedding stays acquired for it.
  private func forward(_ batch: TokenBatch) throws {
    precondition(batch.tokenCount <= activationLayout.outputScale.count, "micro-batch larger than planned")
    precondition(batch.packing.longest <= rotary.cosine.rows, "sequence longer than planned")
    try residence.acquire(layout.embeddingPiece)
    compute.embed(batch.inputs, weight: embedding, into: input(ofLayer: 0, batch.tokenCount))
    if !isTied { try residence.release(layout.embeddingPiece) }
    for layer in 0..<configuration.layers {
      try residence.acquire(layout.blockPiece(layer))
      try blockForward(layer, batch)
      try residence.release(layout.blockPiece(layer))
    }
  }

  private func releaseHead() throws {
    try residence.release(layout.headPiece)
    if isTied { try residence.release(layout.embeddingPiece) }
  }

  private func finalNorm(_ batch: TokenBatch) {
    compute.rmsNorm(
      hidden(activationLayout.output, batch.tokenCount), weight: parameters[layout.finalNorm],
      epsilon: configuration.normEpsilon, into: hidden(activationLayout.outputNormed, batch.tokenCount),
      rstd: floats.buffer[activationLayout.outputScale])
  }

  /// The objective's sums; with an accumulator also the gradients of the head, the final norm and the residual stream.
  private func headLosses(
    _ batch: TokenBatch, _ objective: NormalizedObjective, accumulator: (any GradientSums)?
  ) -> [Int64]? {
    guard batch.tokenCount > 0 else { return objective.denominators.map { _ in 0 } }
    finalNorm(batch)
    guard let accumulator else { return objective.sums(of: batch, logProbabilities: headLogProbabilities(batch)) }
    switch objective.coefficients(of: batch) {
    case .perToken(let coefficient): headBackward(batch, coefficient, accumulator)
    case .perBatch(let coefficients):
      let shares = coefficients(headLogProbabilities(batch).array())
      headBackward(batch, { token, _ in shares[token] }, accumulator)
    }
    return objective.sums(
      of: batch, logProbabilities: floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount))
  }

  /// The log-probabilities of the targets, `[tokens]`, from the normed output.
  private func headLogProbabilities(
    _ batch: TokenBatch, backward: (coefficient: TokenCoefficient, weightGradient: Matrix)? = nil
  ) -> Buffer<Float> {
    let logProbabilities = floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount)
    compute.crossEntropy(
      hidden: hidden(activationLayout.outputNormed, batch.tokenCount), weight: head, targets: batch.targets,
      logits: floats.buffer[activationLayout.logits], logProbabilities: logProbabilities, backward: backward)
    return logProbabilities
  }

  /// The gradients of the head, the final norm and the residual stream.
  private func headBackward(
    _ batch: TokenBatch, _ coefficient: @escaping TokenCoefficient, _ accumulator: any GradientSums
  ) {
    let tokens = batch.tokenCount
    let headGradient = gradients.buffer.prefix(layout.head.count)
    _ = headLogProbabilities(batch, backward: (coefficient, headGradient.matrix(head.rows, head.columns)))
    let normStart = (layout.head.count + 15) / 16 * 16
    let normGradient = gradients.buffer[normStart..<normStart + layout.finalNorm.count]
    let gradient = hidden(activationLayout.gradient, tokens)
    floats.buffer[activationLayout.gradient].prefix(tokens * configuration.hiddenSize).fill(0)
    compute.rmsNormBackward(
      dy: hidden(activationLayout.outputNormed, tokens), x: hidden(activationLayout.output, tokens),
      weight: parameters[layout.finalNorm], rstd: floats.buffer[activationLayout.outputScale], addingTo: gradient,
      weightGradient: normGradient)
    accumulator.add(headGradient, at: layout.head, compute: compute)
    accumulator.add(normGradient, at: layout.finalNorm, compute: compute)
  }

  // MARK: Views

  var embedding: Matrix {
    parameters[layout.embedding].matrix(configuration.vocabularySize, configuration.hiddenSize)
  }
  private var isTied: Bool { configuration.tiedEmbeddings }
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
