import Models
public import RunConfiguration
public import Sharding

/// The predicted cost of one parallelism layout of a run: memory, time, traffic.
public struct ParallelismPlan: Sendable {
  public let expertDegree: Int
  public let sharding: ZeROStage
  /// Activation recomputation, and the memory that it saves per rank, bytes.
  public let recompute: Recomputation
  public let recomputeSaves: Int
  /// Of the rank with max memory.
  public let memory: MemoryPlan
  /// Memory of all ranks of a node, bytes.
  public let nodeMemory: Int
  /// The traffic of that rank.
  public let traffic: Traffic
  public let time: StepTime
  /// The step time that would be saved if bytes, or messages, cost nothing to send; seconds.
  public let bytesCost: Double
  public let messagesCost: Double

  /// Resident bytes of the program and its libraries, MPI included, at the start of `forge-dist`.
  public static let programBytes = 5 << 20

  /// - Parameter recompute: nil for the configuration's.
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
    // Each rank maps the others' shared memory, which counts once per node.
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

  /// The rank with max resident state and update range.
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

  /// The bottleneck of a step, as text.
  public func bottleneck(_ configuration: RunConfiguration, _ cluster: Cluster) -> String {
    let assignment = MicroBatchAssignment(microBatches: configuration.batch.microBatches, ranks: cluster.ranks)
    let idle =
      time.total * (1 - Double(configuration.batch.microBatches) / Double(assignment.microSteps * cluster.ranks))
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
