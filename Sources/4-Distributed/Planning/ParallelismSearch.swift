public import Models
public import RunConfiguration
import Sharding

/// Tries every way to lay out a run on a cluster.
public enum ParallelismSearch {
  /// The layouts that the trainer takes and that fit the nodes' memory, fastest first; of equally fast ones the one with less
  /// memory. Activations are computed again where it does not fit otherwise, and no more of them than need be, at least
  /// what the configuration says.
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

  /// Ranks that may share the experts of a layer: they divide the ranks, and each has an expert.
  static func degrees(experts: Int, ranks: Int) -> [Int] {
    (1...max(1, min(experts, ranks))).filter { ranks % $0 == 0 }
  }

  static func shardings(ranks: Int) -> [ZeROStage] { ranks == 1 ? [.optimizer] : ZeROStage.allCases }
}
