public import Batches
public import Kernels
public import Objectives

/// The results of one micro-batch, which a step sums over micro-batches and ranks. All are integers, so the sums are
/// exact.
public struct MicroBatchResult: Sendable {
  /// The loss sums, `[terms of the objective]`, fixed point at 2⁻³² nats; nil when one is not finite or overflows.
  public var losses: [Int64]?
  /// The auxiliary losses (load balancing and z), times their coefficients, fixed point likewise; nil on overflow.
  public var auxiliaryLoss: Int64?
  /// Tokens that went to each expert, `[sparse layers · experts]`.
  public var expertLoads: [Int]
}

/// A decoder-only transformer: embedding, blocks of attention and feed-forward layers, norm, head; forward and
/// backward.
///
/// It does not depend on ranks. Parameters are a range of an arena laid out by `ParameterLayout`. Activations are
/// planned once for the largest micro-batch, in a workspace that other decoders may use in turn; a pass allocates only
/// a few small arrays.
public final class Decoder {
  public let configuration: ModelConfiguration
  public let layout: ParameterLayout
  public let backend: Backend
  /// `[layout.count]`
  public let parameters: Buffer<Float>

  /// The schedules of a training pass and of a pass without gradients.
  public internal(set) var trainingSchedule: PassSchedule
  public internal(set) var evaluationSchedule: PassSchedule
  /// Called after every event of a pass, for timing.
  public var observer: ((PassSchedule.Event) -> Void)?

  let activationLayout: ActivationLayout
  let workspace: Workspace
  let rotary: RotaryTables
  /// The keys and values of the tokens before those of a batch; nil when a batch holds whole sequences.
  let cache: KeyValueCache?
  let parameterSharding: any ParameterSharding
  let exchange: any ExpertExchange
  let recomputation: Recomputation
  /// Nil where products read the plain parameters.
  let packedWeights: PackedWeights?
  /// Whether the parameters are those of the former pass, so that packed weights can be used again.
  public var parametersAreUnchanged = false

  /// - Parameters:
  ///   - sequences, length: of the largest micro-batch; several shorter sequences may take their place.
  ///   - training: whether to plan for backward passes.
  ///   - recompute: activation recomputation in them.
  ///   - parameterSharding, exchange: how parameters and experts are distributed; by default all are local.
  ///   - workspace: one planned for this decoder among others; nil for one of its own.
  public convenience init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, sequences: Int, length: Int, training: Bool,
    recompute: Recomputation = .none, parameterSharding: any ParameterSharding = UnshardedParameters(),
    exchange: (any ExpertExchange)? = nil,
    workspace: Workspace? = nil, backend: Backend
  ) {
    let exchange = exchange ?? LocalExperts(count: configuration.experts?.count ?? 0)
    let plan = WorkspacePlan(
      configuration, sequences: sequences, length: length, training: training, recompute: recompute,
      exchange: exchange)
    self.init(
      configuration, parameters: parameters, plan: plan, positions: length, parameterSharding: parameterSharding,
      exchange: exchange, workspace: workspace ?? Workspace([plan]), backend: backend)
  }

  /// A decoder in a workspace that other decoders share.
  ///
  /// - Parameters:
  ///   - plan: of this decoder. A frozen model may use the plan of a trained model of the same shape, and so the same
  ///     pages.
  ///   - positions: of the longest sequence.
  public convenience init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, plan: WorkspacePlan, positions: Int,
    parameterSharding: any ParameterSharding, exchange: any ExpertExchange, workspace: Workspace, backend: Backend
  ) {
    self.init(
      configuration, parameters: parameters, plan: plan, positions: positions, parameterSharding: parameterSharding,
      exchange: exchange, cache: nil, workspace: workspace, backend: backend)
  }

  init(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, plan: WorkspacePlan, positions: Int,
    parameterSharding: any ParameterSharding, exchange: any ExpertExchange, cache: KeyValueCache?, workspace: Workspace,
    backend: Backend
  ) {
    layout = ParameterLayout(configuration)
    precondition(parameters.count == layout.count)
    precondition(workspace.fits(plan), "the workspace was planned for smaller decoders")
    self.configuration = configuration
    self.parameters = parameters
    self.parameterSharding = parameterSharding
    self.exchange = exchange
    self.cache = cache
    self.workspace = workspace
    self.backend = backend
    activationLayout = plan.activations
    recomputation = plan.recompute
    trainingSchedule = .training(layout, recompute: plan.recompute)
    evaluationSchedule = .evaluation(layout)
    packedWeights =
      backend.matrixBackend == .native ? PackedWeights(configuration, layout, hugePages: true) : nil
    rotary = workspace.tables(
      configuration.rotary, headDimension: configuration.headDimension, positions: positions)
  }

  /// The arenas of the workspace.
  var floats: Arena<Float> { workspace.floats }
  var integers: Arena<Int32> { workspace.integers }
  var gradients: Arena<Float> { workspace.gradients }

  /// Bytes that a decoder uses besides its parameters, from the formulas that `init` allocates by.
  ///
  /// - Parameters:
  ///   - experts: local experts of a layer; nil for all.
  ///   - receiveCapacity: rows of an expert layer for a number of local rows: an expectation, where `init` plans for
  ///     the maximum.
  ///   - positions: of the longest sequence; nil for `length`.
  public static func plannedBytes(
    _ configuration: ModelConfiguration, sequences: Int, length: Int, training: Bool,
    recompute: Recomputation = .none, experts: Int? = nil, receiveCapacity: ((Int) -> ReceiveCapacity)? = nil,
    positions: Int? = nil
  ) -> Int {
    let plan = WorkspacePlan(
      configuration, sequences: sequences, length: length, training: training, recompute: recompute, experts: experts,
      receiveCapacity: receiveCapacity)
    return plan.bytes
      + 4
      * RotaryTables.floats(
        configuration.rotary, headDimension: configuration.headDimension, positions: positions ?? length)
  }

  /// Computes a micro-batch's loss and adds its gradients to `accumulator`.
  ///
  /// With an empty micro-batch a rank takes part in the micro-step of the others: it computes with its experts, and
  /// unshards the same units in the same order.
  ///
  /// - Parameters:
  ///   - objective: with the denominators of the global batch.
  ///   - microBatches: of the global batch, which divide the auxiliary losses.
  /// - Throws: what the parameter sharding and the expert exchange throw.
  public func train(
    _ batch: TokenBatch, objective: NormalizedObjective, microBatches: Int, accumulator: any GradientAccumulator
  ) throws -> MicroBatchResult {
    var pass = Pass(
      batch, .training(objective, Pass.Gradients(accumulator: accumulator, microBatches: microBatches)))
    try run(trainingSchedule, &pass)
    return MicroBatchResult(losses: pass.losses, auxiliaryLoss: pass.auxiliaryLoss, expertLoads: expertLoads)
  }

  /// Computes the loss of a micro-batch without gradients, summed as in `train`; with an empty one a rank takes part
  /// likewise.
  ///
  /// - Parameter objective: with the denominators of all micro-batches that are summed.
  /// - Throws: as `train`.
  public func evaluate(_ batch: TokenBatch, objective: NormalizedObjective) throws -> MicroBatchResult {
    var pass = Pass(batch, .losses(objective))
    try run(evaluationSchedule, &pass)
    return MicroBatchResult(losses: pass.losses, auxiliaryLoss: 0, expertLoads: expertLoads)
  }

  /// Computes the log-probability of every target, `[tokens]`; 0 where there is none. An empty micro-batch as in
  /// `train`.
  ///
  /// - Throws: as `train`.
  public func logProbabilities(_ batch: TokenBatch) throws -> [Float] {
    var pass = Pass(batch, .logProbabilities)
    try run(evaluationSchedule, &pass)
    return batch.tokenCount == 0
      ? [] : floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount).array()
  }

  /// Extends the sequence in the cache and computes the logits of the next token, `[vocabulary]`, unless `lastLogits`
  /// is nil.
  func read(_ batch: TokenBatch, lastLogits: Buffer<Float>?) {
    var pass = Pass(batch, .lastLogits(lastLogits))
    // Unsharded parameters and local experts throw nothing.
    do { try run(evaluationSchedule, &pass) } catch { preconditionFailure("a local decoder failed: \(error)") }
  }

  // MARK: Views

  var embedding: Matrix {
    parameters[layout.embedding].matrix(configuration.vocabularySize, configuration.hiddenSize)
  }
  var head: Matrix { parameters[layout.head].matrix(configuration.vocabularySize, configuration.hiddenSize) }

  /// The weight `[rows, columns]` of a linear layer, as its product reads it.
  func linearWeight(_ range: Range<Int>, _ rows: Int, _ columns: Int) -> LinearWeight {
    let plain = parameters[range].matrix(rows, columns)
    guard let packedWeights else { return .plain(plain) }
    return .packed(packedWeights.matrix(plain, at: range.lowerBound, backend: backend))
  }

  /// A range of the activations as `[tokens, hidden]`.
  func hidden(_ range: Range<Int>, _ tokens: Int) -> Matrix {
    floats.buffer[range].matrix(tokens, configuration.hiddenSize)
  }

  /// The residual stream that enters a layer; for `layers` itself, the decoder's output.
  func input(ofLayer layer: Int, _ tokens: Int) -> Matrix {
    hidden(layer < configuration.layers ? activationLayout.blocks[layer].input : activationLayout.output, tokens)
  }
}
