import Foundation
import Sharding

/// The cluster of a planned run: nodes, ranks, threads and network.
public struct Cluster: Sendable, Equatable {
  public var ranks: Int
  public var ranksPerNode: Int
  /// Compute threads per rank.
  public var threads: Int
  public var coresPerNode: Int
  /// Memory of a node, bytes.
  public var memoryPerNode: Int
  /// Network bandwidth of a node in each direction, bytes per second.
  public var bandwidth: Double
  /// Latency of a message between nodes, seconds.
  public var latency: Double

  public init(
    ranks: Int, ranksPerNode: Int, threads: Int, coresPerNode: Int, memoryPerNode: Int, bandwidth: Double,
    latency: Double
  ) {
    self.ranks = ranks
    self.ranksPerNode = ranksPerNode
    self.threads = threads
    self.coresPerNode = coresPerNode
    self.memoryPerNode = memoryPerNode
    self.bandwidth = bandwidth
    self.latency = latency
  }

  public var nodes: Int { (ranks + ranksPerNode - 1) / ranksPerNode }

  /// The factor by which computation slows down when threads share cores.
  var oversubscription: Double {
    max(1, Double(min(ranks, ranksPerNode) * threads) / Double(coresPerNode))
  }

  /// The share of a rank's computation that its communication thread takes while it works: `1 / threads` when no core
  /// is free for it, 0 when every rank has a spare core.
  var crowding: Double {
    let present = min(ranks, ranksPerNode)
    let missing = Double(present * (threads + 1) - coresPerNode) / Double(present)
    return min(1, max(0, missing)) / Double(threads)
  }

  /// A group of ranks that communicate: every `stride`-th of `size · stride` consecutive ranks.
  struct Group {
    let size: Int
    let stride: Int
  }

  /// The number of a group's ranks on one node.
  func neighbours(_ group: Group) -> Int { min(group.size, max(1, ranksPerNode / group.stride)) }

  /// Whether experts are shadowed.
  func shadowsExperts(_ shadowing: ExpertShadowing, degree: Int) -> Bool {
    switch shadowing {
    case .auto: degree > 1 && neighbours(Group(size: degree, stride: 1)) == degree
    case .always: degree > 1
    case .never: false
    }
  }

  /// Latency of a message within a node, seconds; measured with Open MPI 4.1 over shared memory.
  static let localLatency = 1.5e-6

  /// The payload share of network bytes: TCP segments in Ethernet frames of 1,514 bytes.
  static let payload = 1448.0 / 1514

  /// The time of an all-to-all in which a rank receives `bytes` in total, equally from every other rank of its group,
  /// while all ranks of its node do the same.
  ///
  /// - Parameters:
  ///   - messages: number of messages to each other rank, in sequence.
  ///   - secondsPerByte: processor time per byte.
  func exchange(_ group: Group, bytes: Double, messages: Double, secondsPerByte: Double) -> Double {
    guard group.size > 1 else { return 0 }
    let local = neighbours(group)
    let remote = Double(group.size - local)
    let share = remote / Double(group.size - 1)
    let wire = bytes * share * Double(min(ranks, ranksPerNode)) / (bandwidth * Self.payload)
    return max(bytes * secondsPerByte, wire) + messages * (Double(local - 1) * Self.localLatency + remote * latency)
  }

  /// The time of a group's barrier when each rank polls with an interval of `look` seconds.
  func meeting(_ group: Group, look: Double) -> Double {
    guard group.size > 1 else { return 0 }
    let hop = neighbours(group) < group.size ? latency : Self.localLatency
    return look + log2(Double(group.size)).rounded(.up) * hop
  }
}
