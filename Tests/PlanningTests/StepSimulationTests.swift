import Models
import Sharding
import Testing

@testable import Planning

@Suite struct StepSimulationTests {
  private func step(
    _ model: String, ranks: Int, degree: Int = 1, sharding: ZeROStage = .optimizer, cluster: Cluster? = nil,
    rates: MachineRates = rates(), sequences: Int = 8
  ) throws -> StepTime {
    let configuration = try configuration(model: model, sequences: sequences, sharding: sharding)
    let shardingPlan = shardingPlan(configuration, ranks: ranks, degree: degree, sharding: sharding)
    var simulation = StepSimulation(
      configuration, shardingPlan: shardingPlan, schedule: .training(shardingPlan.layout, recompute: .none),
      recompute: .none,
      rank: 0, cluster: cluster ?? Planning.Cluster.fast(ranks: ranks),
      rates: rates)
    return simulation.run()
  }

  @Test func oneRankComputesAndNothingElse() throws {
    let time = try step(dense, ranks: 1)
    let c = try configuration(model: dense).model
    // A nanosecond for each operation: 4 micro-batches of a pass, two operations an element at the end of a step, and zeros in
    // the embedding's sums at its beginning.
    let work = PassWork(c, sequences: 2, length: 64)
    let pass = work.layers.reduce(work.embedding + work.embeddingGradient + work.head + work.headAccumulation) {
      $0 + $1.sum
    }
    let layout = ParameterLayout(c)
    let expected: Double = (4 * pass + Double(2 * layout.count + layout.embedding.count)) * 1e-9
    #expect(abs(time.total / expected - 1) < 1e-9)
    #expect(time.total == time.computation)
  }

  @Test func aFastNetworkCostsNothing() throws {
    let alone = try step(dense, ranks: 1)
    var fast = rates()
    (fast.copy, fast.copyAndAdd) = (0, 0)
    let shared = try step(dense, ranks: 4, rates: fast)
    // A quarter of the micro-batches, of the norm and of the update; the only waiting is for polls.
    #expect(shared.computation < alone.computation / 3.5)
    #expect(shared.gather + shared.reduction < 0.05 * shared.total)
  }

  /// Where bytes are the only cost, a step takes as long as they do.
  @Test(arguments: ZeROStage.allCases)
  func aSlowNetworkDecides(_ sharding: ZeROStage) throws {
    let configuration = try configuration(model: dense, sharding: sharding)
    let slow = cluster(ranks: 4, bandwidth: 1e5, latency: 0)
    let shardingPlan = shardingPlan(configuration, ranks: 4, sharding: sharding)
    let plan = ParallelismPlan(configuration, shardingPlan: shardingPlan, cluster: slow, rates: rates())
    // A unit's reduction takes as long as for the rank with its largest shard; its gather receives three quarters.
    let units = shardingPlan.layout.units
    let bytes = units.enumerated().reduce(0.0) { sum, unit in
      let largest = shardingPlan.shards[unit.offset].map(\.count).max() ?? 0
      let isOnce = unit.offset == 0 || unit.offset == units.count - 1
      let gathered =
        switch sharding {
        case .none: 8.0
        case .optimizer: 4.0
        case .full: isOnce ? 4.0 : 8.0
        }
      return sum + 8 * 3 * Double(largest) + gathered * 0.75 * Double(unit.element.count)
    }
    #expect(abs(plan.time.total * 1e5 * Planning.Cluster.payload / bytes - 1) < 0.02)
    #expect(plan.bytesCost > 0.9 * (plan.time.total - plan.time.computation))
    #expect(plan.bottleneck(configuration, slow) == "bandwidth between ranks")
  }

  @Test func messagesAreTheBottleneckOfManyRanks() throws {
    let configuration = try configuration(model: dense, sequences: 2048)
    let far = cluster(ranks: 1024, bandwidth: 1e12, latency: 1e-3)
    let plan = ParallelismPlan(
      configuration, shardingPlan: shardingPlan(configuration, ranks: 1024), cluster: far, rates: rates(1e-12))
    // Every unit is at least one exchange with 1,023 other ranks, for the reduction and for the gather.
    let units = Double(ParameterLayout(configuration.model).units.count)
    let least: Double = 0.8 * units * 1.023
    #expect(plan.messagesCost > least)
    #expect(plan.bottleneck(configuration, far).hasPrefix("latency"))
  }

  @Test func rowsAreWaitedForWhereExpertsAreShared() throws {
    let slow = cluster(ranks: 4, bandwidth: 1e6)
    let shared = try step(sparse, ranks: 4, degree: 4, sharding: .none, cluster: slow, rates: rates(1e-13))
    let whole = try step(sparse, ranks: 4, degree: 1, sharding: .none, cluster: slow)
    #expect(whole.dispatch == 0 && whole.imbalance == 0)
    let half = try step(sparse, ranks: 4, degree: 2, sharding: .none, cluster: slow, rates: rates(1e-13))
    #expect(half.imbalance > 0 && abs(shared.imbalance / half.imbalance - 2) < 1e-9)  // one expert a rank, two
    // 192 of 256 slots are sent four times in three layers: 64 or 65 columns of 4 bytes, at 1 MB/s.
    let bytes = Double(4 * 192 * 258 * 3)
    #expect(abs(shared.dispatch * 1e6 * Planning.Cluster.payload / bytes - 1) < 0.05)
  }

  @Test func theSearchKeepsToTheMemory() throws {
    let configuration = try configuration(model: sparse, sharding: .none)
    let layout = ParameterLayout(configuration.model)
    let all = ParallelismSearch.run(configuration, layout, cluster: cluster(ranks: 4), rates: rates())
    #expect(all.count == 9)  // degrees 1, 2 and 4, each with three ZeRO stages
    #expect(zip(all, all.dropFirst()).allSatisfy { $0.time.total <= $1.time.total })
    let limit = all.map(\.nodeMemory).sorted()[4]
    let some = ParallelismSearch.run(configuration, layout, cluster: cluster(ranks: 4, memory: limit), rates: rates())
    #expect(some.count >= 5 && some.count < 9)
    #expect(some.allSatisfy { $0.nodeMemory <= limit })
    #expect(ParallelismSearch.run(configuration, layout, cluster: cluster(ranks: 4, memory: 1), rates: rates()).isEmpty)
  }
}

extension Planning.Cluster {
  /// Ranks with cores to spare and a network without limits.
  fileprivate static func fast(ranks: Int) -> Cluster {
    Cluster(
      ranks: ranks, ranksPerNode: 1, threads: 1, coresPerNode: 2, memoryPerNode: 1 << 40, bandwidth: .infinity,
      latency: 0)
  }
}
