import Kernels

/// The memory plan of a decoder's activations and gradient scratch: sizes and layout.
public struct WorkspacePlan {
  let activations: ActivationLayout
  let recompute: Recomputation
  /// Elements of the gradient that exists in fp32 at one time.
  let gradients: Int

  /// - Parameters:
  ///   - sequences, length: of the largest micro-batch; several shorter sequences may take their place.
  ///   - training: whether to plan for backward passes.
  ///   - recompute: activation recomputation in them.
  ///   - experts: local experts of a layer; nil for all.
  ///   - receiveCapacity: max rows of an expert layer for a number of local rows; nil when all experts are local.
  public init(
    _ configuration: ModelConfiguration, sequences: Int, length: Int, training: Bool,
    recompute: Recomputation = .none, experts: Int? = nil, receiveCapacity: ((Int) -> ReceiveCapacity)? = nil
  ) {
    let layout = ParameterLayout(configuration)
    self.recompute = recompute
    activations = ActivationLayout(
      configuration, tokens: sequences * length, receiveCapacity: receiveCapacity, training: training,
      recompute: recompute)
    gradients = training ? Self.gradientScratch(layout, experts: experts ?? configuration.experts?.count ?? 0) : 0
  }

  /// The plan of a decoder whose experts an exchange distributes.
  public init(
    _ configuration: ModelConfiguration, sequences: Int, length: Int, training: Bool,
    recompute: Recomputation = .none, exchange: any ExpertExchange
  ) {
    self.init(
      configuration, sequences: sequences, length: length, training: training, recompute: recompute,
      experts: exchange.localExperts.count, receiveCapacity: exchange.isDistributed ? exchange.receiveCapacity : nil)
  }

  /// The largest gradient that exists in fp32 at one time: a block's without its experts, the head's with the final
  /// norm's, or that of as many experts as fit in 64 MiB, at least one.
  private static func gradientScratch(_ layout: ParameterLayout, experts: Int) -> Int {
    let blocks = layout.blocks.indices.map { layout.units[layout.blockUnit($0)].count }.max() ?? 0
    let some = min(experts, max(1, (1 << 24) / max(1, layout.expertSize)))
    return max(blocks, layout.head.count + layout.finalNorm.count + 32, some * layout.expertSize)
  }

  var bytes: Int { 4 * (activations.floats + activations.integers + gradients) + activations.halfPages }
}

/// Memory for activations and gradient scratch, which the decoders of a process use in turn.
///
/// A decoder's results in it last until the next pass of any decoder, so a second, frozen model costs only its
/// parameters. Decoders that share a workspace must not run at the same time.
public final class Workspace {
  let floats: Arena<Float>
  let integers: Arena<Int32>
  /// The fp32 gradient of the unit in progress, until it is added to the accumulator.
  let gradients: Arena<Float>
  private var rotaryTables: [(dimension: Int, rotary: RotaryConfiguration, tables: RotaryTables)] = []

  /// - Parameter plans: of the decoders that will use it.
  public init(_ plans: [WorkspacePlan]) {
    func maximum(_ size: (WorkspacePlan) -> Int) -> Int { plans.map(size).max() ?? 0 }
    floats = Arena(count: maximum(\.activations.floats), hugePages: plans.allSatisfy(\.activations.usesHugePages))
    integers = Arena(count: maximum(\.activations.integers))
    gradients = Arena(count: maximum(\.gradients))
  }

  func fits(_ plan: WorkspacePlan) -> Bool {
    plan.activations.floats <= floats.count && plan.activations.integers <= integers.count
      && plan.gradients <= gradients.count
  }

  /// The tables of a rotary embedding for at least `positions`, shared by decoders with the same embedding.
  func tables(_ rotary: RotaryConfiguration, headDimension: Int, positions: Int) -> RotaryTables {
    if let known = rotaryTables.first(where: {
      $0.dimension == headDimension && $0.rotary == rotary && $0.tables.cosine.rows >= positions
    }) {
      return known.tables
    }
    let tables = RotaryTables(rotary, headDimension: headDimension, positions: positions)
    rotaryTables.append((headDimension, rotary, tables))
    return tables
  }
}
