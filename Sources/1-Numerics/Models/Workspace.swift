import Kernels

/// How much memory a decoder needs besides its parameters, and where in it everything is.
public struct WorkspacePlan {
  let activations: ActivationLayout
  let recompute: Recomputation
  /// Elements of the gradient that exists in fp32 at one time.
  let gradients: Int

  /// - Parameters:
  ///   - sequences, length: of the largest micro-batch; several shorter sequences may take their place.
  ///   - training: whether there will be backward passes.
  ///   - recompute: what they compute a second time, for less memory.
  ///   - experts: experts of a layer that are computed here; nil for all.
  ///   - receiveCapacity: rows that arrive for a number of own rows; nil when all experts are here.
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

  /// The plan of a decoder with its experts where an exchange says.
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

/// Planned activations and gradient scratch: memory that the decoders of a process take turns with.
///
/// Nothing in it outlives a pass, so a second model that is only evaluated costs its parameters. Decoders that share a
/// workspace must not run at the same time.
public final class Workspace {
  let floats: Arena<Float>
  let integers: Arena<Int32>
  /// The gradient of the unit in progress, in fp32; what is finished goes to the accumulator.
  let gradients: Arena<Float>
  private var rotaryTables: [(dimension: Int, rotary: RotaryConfiguration, tables: RotaryTables)] = []

  /// - Parameter plans: of the decoders that will use it.
  public init(_ plans: [WorkspacePlan]) {
    func most(_ size: (WorkspacePlan) -> Int) -> Int { plans.map(size).max() ?? 0 }
    floats = Arena(count: most(\.activations.floats), hugePages: plans.allSatisfy(\.activations.usesHugePages))
    integers = Arena(count: most(\.activations.integers))
    gradients = Arena(count: most(\.gradients))
  }

  func fits(_ plan: WorkspacePlan) -> Bool {
    plan.activations.floats <= floats.count && plan.activations.integers <= integers.count
      && plan.gradients <= gradients.count
  }

  /// The tables of a rotary embedding for at least so many positions, made once for all decoders that are alike.
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
