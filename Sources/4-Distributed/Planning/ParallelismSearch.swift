public import Models
public import RunConfiguration
import Sharding

/// Exhaustive search over the parallelism layouts of a run on a cluster.
public enum ParallelismSearch {
  /// The valid layouts that fit the nodes' memory, fastest first; ties by less memory. Each has the least recomputation
  /// with which it fits, and at least the configuration's.
  public static func run(
    _ configuration: RunConfiguration, _ layout: ParameterLayout, cluster: Cluster, rates: MachineRates
  ) -> [ParallelismPlan] {
    let experts = layout.expertCount
    return degrees(experts: experts, ranks: cluster.ranks).flatMap { degree in
      shardings(ranks: cluster.ranks).compactMap { sharding -> ParallelismPlan? in
        let shardingPlan = ShardingPlan(
          layout: layout, experts: ExpertPlacement(experts: experts, ranks: cluster.ranks, degree: degree),
          stage: sharding, wholeMatrices: configuration.optimizer.needsWholeMatrices)
        guard shardingPlan.violation == nil else { return nil }
        return Recomputation.allCases.drop { $0 != configuration.memory.recompute }.lazy.map {
          ParallelismPlan(configuration, shardingPlan: shardingPlan, cluster: cluster, rates: rates, recompute: $0)
        }.first { $0.fits(cluster) }
      }
    }.sorted { ($0.time.total, $0.nodeMemory) < ($1.time.total, $1.nodeMemory) }
  }

  /// The valid expert-parallel degrees: divisors of the number of ranks with an expert for each.
  static func degrees(experts: Int, ranks: Int) -> [Int] {
    (1...max(1, min(experts, ranks))).filter { ranks % $0 == 0 }
  }

  static func shardings(ranks: Int) -> [ZeROStage] { ranks == 1 ? [.optimizer] : ZeROStage.allCases }
}
