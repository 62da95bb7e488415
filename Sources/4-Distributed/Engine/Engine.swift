public import Batches
public import Kernels
public import MPI
public import Models
public import Objectives
public import Parallelism
public import Sharding

/// A model in training on a mesh of ranks: parameters, decoder, dispatcher and optimizer, put together in one place.
///
/// Whoever trains drives it: `forwardBackward`, `finishGradients`, `gradientNorm`, `update`; in between it needs nothing.
public final class Engine {
  public let options: EngineOptions
  public let mesh: ProcessMesh
  public let backend: Backend
  public let parameterSet: ParameterSet
  public let decoder: Decoder
  /// nil where all experts are on every rank.
  public let dispatcher: ExpertDispatcher?
  public let optimizer: ShardedOptimizer
  /// The exact sums of the gradients.
  public let accumulator: FixedPointGradientAccumulator
  private let exchange: any ExpertExchange
  private let workspace: Workspace
  private let workspacePlan: WorkspacePlan

  public var shardingPlan: ShardingPlan { parameterSet.shardingPlan }
  public var layout: ParameterLayout { shardingPlan.layout }
  /// `[layout.count]`
  public var parameters: Buffer<Float> { parameterSet.parameters.buffer }
  public var state: ShardedParameters { parameterSet.state }

  /// Lays out everything. Collective.
  ///
  /// - Parameters:
  ///   - world: all ranks.
  ///   - parameterSharding: takes the place of the engine's own parameter sharding, for benchmarks that compare it with others.
  ///   - check: looks at what is going to be laid out for a rank of those the parameters are spread over, before it is.
  /// - Throws: `ForgeError.badInput` when the model cannot be spread so; `MPIError`; what `check` throws.
  public init(
    _ options: EngineOptions, world: Communicator, backend: Backend, parameterSharding: (any ParameterSharding)? = nil,
    check: (_ shardingPlan: ShardingPlan, _ rank: Int, _ dispatcher: ExpertDispatcher?) throws -> Void = { _, _, _ in }
  ) throws {
    self.options = options
    self.backend = backend
    mesh = try ProcessMesh(world: world, shape: options.meshShape(ranks: world.size))
    let shardingPlan = try options.shardingPlan(ranks: mesh.batch.size)
    dispatcher =
      shardingPlan.experts.degree > 1
      ? try ExpertDispatcher(
        shardingPlan.experts, group: mesh[.expert], shadows: options.shadowExperts, usesTimings: options.usesTimings,
        threads: backend.team.count) : nil
    try check(shardingPlan, mesh.batch.rank, dispatcher)
    parameterSet = try ParameterSet(shardingPlan, mesh: mesh, microBatches: options.microBatches, backend: backend)
    guard let accumulator = parameterSet.accumulator else { preconditionFailure("a trained model has gradients") }
    self.accumulator = accumulator
    exchange =
      dispatcher.map { DistributedExperts($0, expertSize: shardingPlan.layout.expertSize) }
      ?? LocalExperts(count: shardingPlan.layout.expertCount)
    workspacePlan = WorkspacePlan(
      options.model, sequences: options.sequences, length: options.length, training: true,
      recompute: options.recompute, exchange: exchange)
    workspace = Workspace([workspacePlan])
    decoder = Decoder(
      options.model, parameters: parameterSet.parameters.buffer, plan: workspacePlan, positions: options.length,
      parameterSharding: parameterSharding ?? parameterSet.state, exchange: exchange, workspace: workspace,
      backend: backend)
    optimizer = ShardedOptimizer(
      settings: options.optimizer, tensors: options.optimizer.tensors(of: shardingPlan.layout),
      state: parameterSet.state,
      sums: accumulator.sums, parameters: parameterSet.parameters.buffer, communicator: mesh.batch, backend: backend)
  }

  /// A second model of the same shape whose parameters do not change, such as the reference of a policy: it takes turns with
  /// this one's activations, so it costs its parameters. Collective.
  ///
  /// - Throws: `MPIError`.
  public func makeFrozenModel() throws -> FrozenModel {
    let set = try ParameterSet(shardingPlan, mesh: mesh, microBatches: nil, backend: backend)
    let decoder = Decoder(
      options.model, parameters: set.parameters.buffer, plan: workspacePlan, positions: options.length,
      parameterSharding: set.state, exchange: exchange,
      workspace: workspace, backend: backend)
    return FrozenModel(parameterSet: set, decoder: decoder)
  }

  // MARK: A step

  /// The time that computation has waited for other ranks, seconds.
  public var exposedCommunicationSeconds: Double {
    state.exposedCommunicationSeconds + (dispatcher?.exposedCommunicationSeconds ?? 0)
  }

  /// Computes a global batch's losses and gradients, micro-batch by micro-batch. Collective: all ranks have as many, some of
  /// them empty. The gradients are complete on their owners when `finishGradients` has returned.
  ///
  /// - Parameters:
  ///   - batches: this rank's micro-batches of the global batch.
  ///   - objective: with the denominators of the global batch.
  ///   - finished: called behind each micro-batch with what it adds to the step's sums, and with the seconds that this rank
  ///     has computed for it, without what it has waited for others.
  /// - Throws: `MPIError`.
  public func forwardBackward(
    _ batches: [TokenBatch], objective: NormalizedObjective,
    finished: (_ batch: TokenBatch, _ result: MicroBatchResult, _ seconds: Double) -> Void
  ) throws {
    state.zeroGradients()
    for (index, batch) in batches.enumerated() {
      state.beginMicroStep(decoder.trainingSchedule, last: index == batches.count - 1)
      let (started, exposed) = (ContinuousClock.now, exposedCommunicationSeconds)
      let result = try decoder.train(
        batch, objective: objective, microBatches: options.microBatches, accumulator: accumulator)
      finished(batch, result, (ContinuousClock.now - started) / .seconds(1) - (exposedCommunicationSeconds - exposed))
    }
  }

  /// Whether a gradient had an element that has no exact sum; then the step has to be skipped on all ranks.
  public var hasOverflowed: Bool { accumulator.hasOverflowed }

  /// Returns when the gradients that this rank owns are complete. Collective.
  public func finishGradients() throws { try state.waitForGradients() }

  /// The L2 norm of the whole gradient, the same bits on every rank. Collective; after `finishGradients`.
  public func gradientNorm() throws -> Double { try optimizer.gradientNorm() }

  /// Updates this rank's part of the parameters and starts bringing it to the others, behind the next forward pass.
  ///
  /// - Parameters:
  ///   - step: counted from 1.
  ///   - gradientScale: what gradients are multiplied by, for clipping.
  ///   - expertLoads: of the global batch, `[sparse layers][experts]`.
  public func update(step: Int, learningRate: Double, gradientScale: Float, expertLoads: [[Int]]) {
    optimizer.update(step: step, learningRate: learningRate, gradientScale: gradientScale)
    optimizer.updateExpertBiases(loads: expertLoads, rate: options.model.experts?.biasUpdateRate ?? 0)
    state.gatherParameters()
  }

  /// Computes losses without gradients. Collective, as `forwardBackward`.
  public func evaluate(
    _ batches: [TokenBatch], objective: NormalizedObjective, finished: (MicroBatchResult) -> Void
  ) throws {
    for batch in batches {
      state.beginMicroStep(decoder.evaluationSchedule, last: false)
      finished(try decoder.evaluate(batch, objective: objective))
    }
  }

  /// The log-probability of every target of a micro-batch, `[tokens]`. Collective, empty micro-batches included.
  public func logProbabilities(_ batch: TokenBatch) throws -> [Float] {
    state.beginMicroStep(decoder.evaluationSchedule, last: false)
    return try decoder.logProbabilities(batch)
  }
}
