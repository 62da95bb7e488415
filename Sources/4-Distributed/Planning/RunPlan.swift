import Foundation
import Models
public import RunConfiguration
import Sharding
import Support

/// The plan of a run on a cluster: the layout that its configuration asks for, the other ones, and the schedule.
public struct RunPlan: Sendable {
  public let configuration: RunConfiguration
  public let cluster: Cluster
  public let rates: MachineRates
  /// Whether a network is involved that the user did not describe.
  public let assumesNetwork: Bool
  public let parameters: Int
  /// Micro-batches of the rank that has most, in a step.
  public let microSteps: Int
  public let configured: ParallelismPlan
  /// Those that fit, fastest first.
  public let alternatives: [ParallelismPlan]
  /// Of the configured layout.
  public let schedule: Schedule

  /// Measures this machine, and plans for each number of ranks.
  ///
  /// - Throws: `ForgeError.badInput` for a layout that cannot be.
  public static func plan(_ configuration: RunConfiguration, _ request: PlanRequest, ranks: [Int]) throws -> [RunPlan] {
    for count in ranks { _ = try configuration.expertDegree(ranks: count) }
    let clusters = ranks.map { request.cluster(configuration, ranks: $0) }
    let busiest = clusters.max { min($0.ranks, $0.ranksPerNode) < min($1.ranks, $1.ranksPerNode) }
    guard let busiest else { return [] }
    let rates = try Calibration.measure(
      configuration, ranksPerNode: min(busiest.ranks, busiest.ranksPerNode), threads: busiest.threads)
    return try clusters.map { try RunPlan(configuration, request, cluster: $0, rates: rates) }
  }

  /// - Parameter rates: as measured; where the cluster's ranks have more threads they are taken to scale.
  /// - Throws: `ForgeError.badInput` for a layout that cannot be.
  public init(_ configuration: RunConfiguration, _ request: PlanRequest, cluster: Cluster, rates: MachineRates) throws {
    self.configuration = configuration
    self.cluster = cluster
    self.rates = rates
    assumesNetwork = cluster.nodes > 1 && (request.bandwidth == nil || request.latency == nil)
    let layout = ParameterLayout(configuration.model)
    parameters = layout.count
    microSteps = MicroBatchAssignment(microBatches: configuration.batch.microBatches, ranks: cluster.ranks).microSteps
    let scaled = rates.scaled(toThreads: cluster.threads)
    let experts = ExpertPlacement(
      experts: layout.expertCount, ranks: cluster.ranks, degree: try configuration.expertDegree(ranks: cluster.ranks))
    let shardingPlan = ShardingPlan(
      layout: layout, experts: experts, stage: configuration.parallelism.sharding,
      wholeMatrices: configuration.optimizer.needsWholeMatrices)
    if let violation = shardingPlan.violation {
      throw ForgeError.badInput("with \(cluster.ranks) ranks \(violation)")
    }
    configured = ParallelismPlan(configuration, shardingPlan: shardingPlan, cluster: cluster, rates: scaled)
    alternatives = ParallelismSearch.run(configuration, layout, cluster: cluster, rates: scaled)
    let tokensPerStep = configuration.batch.sequences * configuration.data.sequenceLength
    // Every node writes its share of parameters and moments as fast as this machine did.
    let saved = 12 * Double(parameters) / Double(cluster.nodes)
    schedule = Schedule(
      tokens: request.tokens ?? Double(configuration.run.steps) * Double(tokensPerStep), tokensPerStep: tokensPerStep,
      stepSeconds: configured.time.total, saveSeconds: saved * rates.save, cluster: cluster,
      meanTimeBetweenFailures: 3600 * request.failureHours, jobSeconds: 3600 * request.hours)
  }
}
