public import Batches
public import Kernels
public import MPI
public import Models
public import Objectives
public import Parallelism
public import Sharding

/// Training engine: a model's parameters, decoder, token dispatcher and optimizer on a mesh of ranks.
///
/// A step calls `forwardBackward`, `finishGradients`, `gradientNorm` and `update`, in this order.
public final class Engine {
  public let options: EngineOptions
  public let mesh: ProcessMesh
  public let backend: Backend
  public let parameterSet: ParameterSet
  public let decoder: Decoder
  /// Nil without expert parallelism.
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

  /// Allocates parameters, activations and optimizer state. Collective.
  ///
  /// - Parameters:
  ///   - world: all ranks.
  ///   - parameterSharding: replaces the engine's own parameter sharding, for benchmarks.
  ///   - check: called with the sharding plan before it is allocated; `rank` is that of the batch group.
  /// - Throws: `ForgeError.badInput` when the model cannot be sharded as configured; `MPIError`; errors of `check`.
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

  /// A second model of the same shape with frozen parameters, such as a reference policy. It shares this one's
  /// activation workspace, so its only memory is its parameters. Collective.
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

  /// Exposed communication: the time that computation has waited for other ranks, seconds.
  public var exposedCommunicationSeconds: Double {
    state.exposedCommunicationSeconds + (dispatcher?.exposedCommunicationSeconds ?? 0)
  }

  /// Forward and backward passes of a global batch's micro-batches. Collective: all ranks have the same number, some of
  /// them empty. The gradients are complete on their owners after `finishGradients`.
  ///
  /// - Parameters:
  ///   - batches: this rank's micro-batches of the global batch.
  ///   - objective: with the denominators of the global batch.
  ///   - finished: called after each micro-batch with its contribution to the step's sums, and the seconds of its
  ///     computation, without exposed communication.
  /// - Throws: `MPIError`.
  public func forwardBackward(
    _ batches: [TokenBatch], objective: NormalizedObjective,
    finished: (_ batch: TokenBatch, _ result: MicroBatchResult, _ seconds: Double) -> Void
  ) throws {
    state.zeroGradients()
    for (index, batch) in batches.enumerated() {
      state.beginMicroStep(decoder.trainingSchedule, last: index == batches.count - 1)
      decoder.parametersAreUnchanged = index > 0
      let (started, exposed) = (ContinuousClock.now, exposedCommunicationSeconds)
      let result = try decoder.train(
        batch, objective: objective, microBatches: options.microBatches, accumulator: accumulator)
      finished(batch, result, (ContinuousClock.now - started) / .seconds(1) - (exposedCommunicationSeconds - exposed))
    }
  }

  /// Whether a gradient element was outside the range of exact sums; then the step must be skipped on all ranks.
  public var hasOverflowed: Bool { accumulator.hasOverflowed }

  /// Waits until the gradients that this rank owns are complete. Collective.
  public func finishGradients() throws { try state.waitForGradients() }

  /// The L2 norm of the full gradient, the same bits on every rank. Collective; after `finishGradients`.
  public func gradientNorm() throws -> Double { try optimizer.gradientNorm() }

  /// Updates this rank's update ranges and starts gathering the parameters, overlapped with the next forward pass.
  ///
  /// - Parameters:
  ///   - step: counted from 1.
  ///   - gradientScale: factor of the gradients, for clipping.
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
    for (index, batch) in batches.enumerated() {
      state.beginMicroStep(decoder.evaluationSchedule, last: false)
      decoder.parametersAreUnchanged = index > 0
      finished(try decoder.evaluate(batch, objective: objective))
    }
  }

  /// The log-probability of every target of a micro-batch, `[tokens]`. Collective, empty micro-batches included.
  public func logProbabilities(_ batch: TokenBatch) throws -> [Float] {
    state.beginMicroStep(decoder.evaluationSchedule, last: false)
    decoder.parametersAreUnchanged = false
    return try decoder.logProbabilities(batch)
  }
}
