import Models
public import Sharding
public import RunConfiguration

/// What one way to lay out a run costs: memory, time, traffic.
public struct LayoutPlan: Sendable {
  public let expertDegree: Int
  public let sharding: StateSharding
  /// What of the activations is computed a second time, and the memory that this saves a rank, bytes.
  public let recompute: Recomputation
  public let recomputeSaves: Int
  /// Of the rank that needs most.
  public let memory: MemoryPlan
  /// Bytes a node needs for all its ranks.
  public let nodeMemory: Int
  /// Of that rank.
  public let traffic: Traffic
  public let time: StepTime
  /// What the step would lose if bytes, and if messages, cost nothing to send; seconds.
  public let bytesCost: Double
  public let messagesCost: Double

  /// Bytes of the program and its libraries, MPI's among them, as `forge-dist` finds at its start.
  public static let programBytes = 5 << 20

  /// - Parameter recompute: nil for what the configuration says.
  public init(
    _ configuration: RunConfiguration, placement: StatePlacement, cluster: Cluster, rates: MachineRates,
    recompute: Recomputation? = nil
  ) {
    let recompute = recompute ?? configuration.memory.recompute
    self.recompute = recompute
    let schedule = PassSchedule.training(placement.layout, recompute: recompute)
    expertDegree = placement.experts.degree
    sharding = placement.sharding
    let model = configuration.model
    let rank = Self.fullestRank(placement)
    let neighbours = min(cluster.ranks, cluster.ranksPerNode)
    let lendsExperts = cluster.lendsExperts(configuration.parallelism.shadowExperts, degree: expertDegree)
    func memory(_ recompute: Recomputation) -> MemoryPlan {
      MemoryPlan(
        configuration, placement: placement, rank: rank, threads: cluster.threads, neighbours: neighbours,
        lendsExperts: lendsExperts, recompute: recompute)
    }
    self.memory = memory(recompute)
    recomputeSaves = recompute == .none ? 0 : memory(.none).bytes - self.memory.bytes
    // Each rank sees the others' shared memory, which the node has once.
    let segment = neighbours > 1 ? MemoryPlan.sharedBytes(ofSegmentAmong: neighbours) : 0
    nodeMemory = (self.memory.bytes(besides: [MemoryPlan.sharedRole]) + segment + Self.programBytes) * neighbours
    let tokens = configuration.batch.microBatch * configuration.data.sequenceLength
    traffic = Traffic(
      placement, schedule, rank: rank,
      rounds: MicroBatchDealing(microBatches: configuration.batch.microBatches, ranks: cluster.ranks).rounds,
      slots: tokens * (model.experts?.perToken ?? 0), hidden: model.hiddenSize)
    func simulate(bytesAreFree: Bool = false, messagesAreFree: Bool = false) -> StepTime {
      var simulation = StepSimulation(
        configuration, placement: placement, schedule: schedule, recompute: recompute, rank: rank, cluster: cluster,
        rates: rates, bytesAreFree: bytesAreFree, messagesAreFree: messagesAreFree)
      return simulation.run()
    }
    time = simulate()
    bytesCost = time.total - simulate(bytesAreFree: true).total
    messagesCost = time.total - simulate(messagesAreFree: true).total
  }

  /// The rank that keeps and updates most.
  private static func fullestRank(_ placement: StatePlacement) -> Int {
    func bytes(_ rank: Int) -> Int {
      placement.layout.pieces.indices.reduce(0) {
        $0 + 12 * placement.kept(piece: $1, by: rank).count + 8 * placement.updated(piece: $1, by: rank).count
      }
    }
    return (0..<placement.ranks).map { (bytes($0), -$0) }.max { $0 < $1 }.map { -$0.1 } ?? 0
  }

  public func fits(_ cluster: Cluster) -> Bool { nodeMemory <= cluster.memoryPerNode }

  /// What to improve first, in words.
  public func bottleneck(_ configuration: RunConfiguration, _ cluster: Cluster) -> String {
    let dealing = MicroBatchDealing(microBatches: configuration.batch.microBatches, ranks: cluster.ranks)
    let idle = time.total * (1 - Double(configuration.batch.microBatches) / Double(dealing.rounds * cluster.ranks))
    let products = time.layers + time.attention + time.experts + time.crossEntropy + time.recomputation
    let streams = time.accumulation + time.optimizer + time.embedding
    let candidates = [
      (products, "the cores' speed in matrix products"), (streams, "memory bandwidth: exact sums and the optimizer"),
      (bytesCost, "bandwidth between ranks"), (messagesCost, "latency: the number of messages between ranks"),
      (idle, "ranks without a micro-batch: too few for \(cluster.ranks) ranks"), (time.imbalance, "uneven experts"),
    ]
    return candidates.max { $0.0 < $1.0 }?.1 ?? ""
  }
}
