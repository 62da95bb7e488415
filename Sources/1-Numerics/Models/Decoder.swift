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
  public let backend: Backend
  /// `[layout.count]`
  public let parameters: Buffer<Float>

  /// The events of a training pass, and of one without gradients.
  public internal(set) var trainingSchedule: PassSchedule
  public internal(set) var evaluationSchedule: PassSchedule
  /// Called after every event of a pass, for who measures it.
  public var observer: ((PassSchedule.Event) -> Void)?

  let activationLayout: ActivationLayout
  let workspace: Workspace
  let rotary: RotaryTables
  /// Where attention finds the tokens before those of a batch; nil when a batch holds whole sequences.
  let cache: KeyValueCache?
  let parameterSharding: any ParameterSharding
  let exchange: any ExpertExchange
  let recomputation: Recomputation

  /// - Parameters:
  ///   - sequences, length: of the largest micro-batch; several shorter sequences may take their place.
  ///   - training: whether there will be backward passes.
  ///   - recompute: what they compute a second time, for less memory.
  ///   - residence, exchange: where parameters and experts are; by default all of them are here.
  ///   - workspace: planned for this decoder among others; nil for one of its own.
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

  /// A decoder in a workspace that others use too.
  ///
  /// - Parameters:
  ///   - plan: of this decoder. A model that is only evaluated may use the plan of one that is alike and is trained, and so
  ///     the same pages of its memory.
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
    rotary = workspace.tables(
      configuration.rotary, headDimension: configuration.headDimension, positions: positions)
  }

  /// The arenas of the workspace.
  var floats: Arena<Float> { workspace.floats }
  var integers: Arena<Int32> { workspace.integers }
  var gradients: Arena<Float> { workspace.gradients }

  /// Bytes that a decoder uses: what `init` will do, from the same formulas.
  ///
  /// - Parameters:
  ///   - experts: experts of a layer that are computed here; nil for all.
  ///   - receiveCapacity: rows that arrive for a number of own rows: an expectation, where `init` plans for the worst.
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

  /// Computes a micro-batch's loss and adds its gradients to `accumulator`. An empty micro-batch joins a round of ranks
  /// that have one: it computes with this rank's experts, and unshards the same units in the same order.
  ///
  /// - Parameters:
  ///   - objective: with the denominators of the global batch.
  ///   - microBatches: of the global batch: the denominator of the auxiliary losses.
  /// - Throws: what the residence and the exchange throw.
  public func train(
    _ batch: TokenBatch, objective: NormalizedObjective, microBatches: Int, accumulator: any GradientAccumulator
  ) throws -> MicroBatchResult {
    var pass = Pass(
      batch, .training(objective, Pass.Gradients(accumulator: accumulator, microBatches: microBatches)))
    try run(trainingSchedule, &pass)
    return MicroBatchResult(losses: pass.losses, auxiliaryLoss: pass.auxiliaryLoss, expertLoads: expertLoads)
  }

  /// The loss of a micro-batch without gradients, summed as in `train`; an empty one joins a round likewise.
  ///
  /// - Parameter objective: with the denominators of all micro-batches that will be summed up.
  /// - Throws: as `train`.
  public func evaluate(_ batch: TokenBatch, objective: NormalizedObjective) throws -> MicroBatchResult {
    var pass = Pass(batch, .losses(objective))
    try run(evaluationSchedule, &pass)
    return MicroBatchResult(losses: pass.losses, auxiliaryLoss: 0, expertLoads: expertLoads)
  }

  /// The log-probability of every target, `[tokens]`; 0 where there is none. An empty micro-batch joins a round.
  ///
  /// - Throws: as `train`.
  public func logProbabilities(_ batch: TokenBatch) throws -> [Float] {
    var pass = Pass(batch, .logProbabilities)
    try run(evaluationSchedule, &pass)
    return batch.tokenCount == 0
      ? [] : floats.buffer[activationLayout.logProbabilities].prefix(batch.tokenCount).array()
  }

  /// Continues the sequence in the cache and computes the logits of what follows it, `[vocabulary]`, if wanted.
  func read(_ batch: TokenBatch, lastLogits: Buffer<Float>?) {
    var pass = Pass(batch, .lastLogits(lastLogits))
    // Where nothing is elsewhere, nothing can fail.
    do { try run(evaluationSchedule, &pass) } catch { preconditionFailure("a local decoder failed: \(error)") }
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
