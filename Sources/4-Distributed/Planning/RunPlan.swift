import Foundation
import Models
public import RunConfiguration
import Sharding
import Support

/// The plan of a run on a cluster: the configured parallelism layout, the alternatives, and the job schedule.
public struct RunPlan: Sendable {
  public let configuration: RunConfiguration
  public let cluster: Cluster
  public let rates: MachineRates
  /// Whether the network is assumed, not described by the user.
  public let assumesNetwork: Bool
  public let parameters: Int
  /// Micro-steps of a step: max micro-batches per rank.
  public let microSteps: Int
  public let configured: ParallelismPlan
  /// All layouts that fit, fastest first; the configured one included.
  public let alternatives: [ParallelismPlan]
  /// The schedule of the configured layout.
  public let schedule: Schedule

  /// Measures this machine, and plans for each number of ranks.
  ///
  /// - Throws: `ForgeError.badInput` for an invalid layout; `ForgeError.tryAgain` when the system does not start
  ///   threads.
  public static func plan(_ configuration: RunConfiguration, _ request: PlanRequest, ranks: [Int]) throws -> [RunPlan] {
    for count in ranks { _ = try configuration.expertDegree(ranks: count) }
    let clusters = ranks.map { request.cluster(configuration, ranks: $0) }
    let busiest = clusters.max { min($0.ranks, $0.ranksPerNode) < min($1.ranks, $1.ranksPerNode) }
    guard let busiest else { return [] }
    let rates = try Calibration.measure(
      configuration, ranksPerNode: min(busiest.ranks, busiest.ranksPerNode), threads: busiest.threads)
    return try clusters.map { try RunPlan(configuration, request, cluster: $0, rates: rates) }
  }

  /// - Parameter rates: as measured; scaled when the cluster's ranks have more threads.
  /// - Throws: `ForgeError.badInput` for an invalid layout.
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
      throw ForgeError.badInput(
        "with \(cluster.ranks) ranks \(violation.problem)", hint: violation.hint, code: .invalidLayout)
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
