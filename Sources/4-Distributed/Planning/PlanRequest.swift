import Foundation
import RunConfiguration

/// What is asked of a plan beside the configuration; nil takes what suits.
public struct PlanRequest: Sendable {
  public var ranksPerNode: Int?
  public var threads: Int?
  public var coresPerNode: Int?
  /// GiB of a node.
  public var memory: Double?
  /// GB/s into, and out of, a node.
  public var bandwidth: Double?
  /// Microseconds that a message between nodes takes beside its bytes.
  public var latency: Double?
  /// A job's time limit.
  public var hours: Double
  /// A node's mean time between failures.
  public var failureHours: Double
  /// To train on; nil for the configuration's steps.
  public var tokens: Double?

  public init(hours: Double = 24, failureHours: Double = 43_800) {
    self.hours = hours
    self.failureHours = failureHours
  }

  /// What a network is taken to be that nobody described: 100 Gbit/s.
  public static let standardBandwidth = 12.5
  public static let standardLatency = 2.0

  /// The cluster for so many ranks. A run that has one node is taken to be on this machine; of several, each has at least
  /// a core for each thread.
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
