import Foundation
import Sharding

/// Where a run is to be placed: nodes, ranks and threads, and what connects them.
public struct Cluster: Sendable, Equatable {
  public var ranks: Int
  public var ranksPerNode: Int
  /// Threads a rank computes with.
  public var threads: Int
  public var coresPerNode: Int
  /// Bytes of memory of a node.
  public var memoryPerNode: Int
  /// Bytes a second into, and out of, a node.
  public var bandwidth: Double
  /// Seconds a message takes between nodes beside its bytes.
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

  /// How much slower computing gets when threads share cores.
  var oversubscription: Double {
    max(1, Double(min(ranks, ranksPerNode) * threads) / Double(coresPerNode))
  }

  /// What the communication thread takes from computation while it works: 1 when each has no core but those that
  /// compute, 0 when there are cores to spare.
  var crowding: Double {
    let present = min(ranks, ranksPerNode)
    let missing = Double(present * (threads + 1) - coresPerNode) / Double(present)
    return min(1, max(0, missing)) / Double(threads)
  }

  /// Ranks that exchange something: every `stride`-th of `size · stride` neighbours.
  struct Group {
    let size: Int
    let stride: Int
  }

  /// Ranks of a group that are on one node.
  func neighbours(_ group: Group) -> Int { min(group.size, max(1, ranksPerNode / group.stride)) }

  /// Whether ranks that share experts lend them to each other.
  func shadowsExperts(_ shadowing: ExpertShadowing, degree: Int) -> Bool {
    switch shadowing {
    case .auto: degree > 1 && neighbours(Group(size: degree, stride: 1)) == degree
    case .always: degree > 1
    case .never: false
    }
  }

  /// A message within a node; measured with Open MPI 4.1 over shared memory.
  static let localLatency = 1.5e-6

  /// Of a network's bytes, those that are not headers: TCP's segments in Ethernet frames of 1,514 bytes.
  static let payload = 1448.0 / 1514

  /// The time of an exchange in which a rank receives `bytes` in all, the same number from every other rank of its group,
  /// while all ranks of its node do the same.
  ///
  /// - Parameters:
  ///   - messages: that a rank sends to each of the others, one after the other.
  ///   - secondsPerByte: of handling a byte by the processor.
  func exchange(_ group: Group, bytes: Double, messages: Double, secondsPerByte: Double) -> Double {
    guard group.size > 1 else { return 0 }
    let local = neighbours(group)
    let remote = Double(group.size - local)
    let share = remote / Double(group.size - 1)
    let wire = bytes * share * Double(min(ranks, ranksPerNode)) / (bandwidth * Self.payload)
    return max(bytes * secondsPerByte, wire) + messages * (Double(local - 1) * Self.localLatency + remote * latency)
  }

  /// The time until all ranks of a group know that all have come, each looking every so often.
  func meeting(_ group: Group, look: Double) -> Double {
    guard group.size > 1 else { return 0 }
    let hop = neighbours(group) < group.size ? latency : Self.localLatency
    return look + log2(Double(group.size)).rounded(.up) * hop
  }
}
