import Models
public import RunConfiguration
public import Sharding

/// What one way to lay out a run costs: memory, time, traffic.
public struct ParallelismPlan: Sendable {
  public let expertDegree: Int
  public let sharding: ZeROStage
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
    _ configuration: RunConfiguration, shardingPlan: ShardingPlan, cluster: Cluster, rates: MachineRates,
    recompute: Recomputation? = nil
  ) {
    let recompute = recompute ?? configuration.memory.recompute
    self.recompute = recompute
    let schedule = PassSchedule.training(shardingPlan.layout, recompute: recompute)
    expertDegree = shardingPlan.experts.degree
    sharding = shardingPlan.stage
    let model = configuration.model
    let rank = Self.fullestRank(shardingPlan)
    let neighbours = min(cluster.ranks, cluster.ranksPerNode)
    let shadowsExperts = cluster.shadowsExperts(configuration.parallelism.shadowExperts, degree: expertDegree)
    func memory(_ recompute: Recomputation) -> MemoryPlan {
      MemoryPlan(
        configuration, shardingPlan: shardingPlan, rank: rank, threads: cluster.threads, neighbours: neighbours,
        shadowsExperts: shadowsExperts, recompute: recompute)
    }
    self.memory = memory(recompute)
    recomputeSaves = recompute == .none ? 0 : memory(.none).bytes - self.memory.bytes
    // Each rank sees the others' shared memory, which the node has once.
    let segment = neighbours > 1 ? MemoryPlan.sharedBytes(ofSegmentAmong: neighbours) : 0
    nodeMemory = (self.memory.bytes(besides: [MemoryPlan.sharedRole]) + segment + Self.programBytes) * neighbours
    let tokens = configuration.batch.microBatch * configuration.data.sequenceLength
    traffic = Traffic(
      shardingPlan, schedule, rank: rank,
      microSteps: MicroBatchAssignment(microBatches: configuration.batch.microBatches, ranks: cluster.ranks).microSteps,
      slots: tokens * (model.experts?.perToken ?? 0), hidden: model.hiddenSize)
    func simulate(bytesAreFree: Bool = false, messagesAreFree: Bool = false) -> StepTime {
      var simulation = StepSimulation(
        configuration, shardingPlan: shardingPlan, schedule: schedule, recompute: recompute, rank: rank,
        cluster: cluster,
        rates: rates, bytesAreFree: bytesAreFree, messagesAreFree: messagesAreFree)
      return simulation.run()
    }
    time = simulate()
    bytesCost = time.total - simulate(bytesAreFree: true).total
    messagesCost = time.total - simulate(messagesAreFree: true).total
  }

  /// The rank that keeps and updates most.
  private static func fullestRank(_ shardingPlan: ShardingPlan) -> Int {
    func bytes(_ rank: Int) -> Int {
      shardingPlan.layout.units.indices.reduce(0) {
        $0 + 12 * shardingPlan.resident(unit: $1, by: rank).count + 8
          * shardingPlan.updateRange(unit: $1, by: rank).count
      }
    }
    return (0..<shardingPlan.ranks).map { (bytes($0), -$0) }.max { $0 < $1 }.map { -$0.1 } ?? 0
  }

  public func fits(_ cluster: Cluster) -> Bool { nodeMemory <= cluster.memoryPerNode }

  /// What to improve first, in words.
  public func bottleneck(_ configuration: RunConfiguration, _ cluster: Cluster) -> String {
    let dealing = MicroBatchAssignment(microBatches: configuration.batch.microBatches, ranks: cluster.ranks)
    let idle = time.total * (1 - Double(configuration.batch.microBatches) / Double(dealing.microSteps * cluster.ranks))
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
