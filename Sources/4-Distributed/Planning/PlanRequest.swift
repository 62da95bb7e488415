import Foundation
import RunConfiguration

/// The options of a plan beside the configuration; nil selects a default.
public struct PlanRequest: Sendable {
  public var ranksPerNode: Int?
  public var threads: Int?
  public var coresPerNode: Int?
  /// Memory of a node, GiB.
  public var memory: Double?
  /// Network bandwidth of a node in each direction, GB/s.
  public var bandwidth: Double?
  /// Latency of a message between nodes, microseconds.
  public var latency: Double?
  /// Time limit of a job, hours.
  public var hours: Double
  /// Mean time between failures of a node, hours.
  public var failureHours: Double
  /// Tokens to train on; nil for the configuration's steps.
  public var tokens: Double?

  public init(hours: Double = 24, failureHours: Double = 43_800) {
    self.hours = hours
    self.failureHours = failureHours
  }

  /// The assumed network when none is described: 100 Gbit/s (GB/s), and a latency in microseconds.
  public static let standardBandwidth = 12.5
  public static let standardLatency = 2.0

  /// The cluster for `ranks` ranks. A run on one node is taken to be on this machine; on several, each node has at
  /// least a core per thread.
  func cluster(_ configuration: RunConfiguration, ranks: Int) -> Cluster {
    let cores = coresPerNode ?? max(1, ProcessInfo.processInfo.activeProcessorCount)
    let threads = threads ?? configuration.run.threads ?? max(1, cores / min(cores, ranksPerNode ?? ranks))
    let ranksPerNode = ranksPerNode ?? min(ranks, max(1, cores / threads))
    return Cluster(
      ranks: ranks, ranksPerNode: ranksPerNode, threads: threads,
      coresPerNode: coresPerNode ?? (ranks <= ranksPerNode ? cores : max(cores, ranksPerNode * threads)),
      memoryPerNode: memory.map { Int($0 * Double(1 << 30)) } ?? Int(ProcessInfo.processInfo.physicalMemory),
      bandwidth: 1e9 * (bandwidth ?? Self.standardBandwidth), latency: 1e-6 * (latency ?? Self.standardLatency))
  }
}
