import Foundation
public import MPI

/// The assignment of ranks to nodes, which are identified by host name.
public struct Nodes: Sendable, Equatable {
  /// The ranks of each node, ascending; nodes in the order of their lowest ranks.
  public let ranks: [[Int]]
  public let hosts: [String]
  /// The node of each rank.
  public let nodeOfRank: [Int]

  /// - Parameter hosts: by rank.
  init(hosts: [String]) {
    var names: [String] = []
    var ranks: [[Int]] = []
    var nodeOfRank: [Int] = []
    for (rank, host) in hosts.enumerated() {
      let node = names.firstIndex(of: host) ?? names.count
      if node == names.count {
        names.append(host)
        ranks.append([])
      }
      ranks[node].append(rank)
      nodeOfRank.append(node)
    }
    (self.hosts, self.ranks, self.nodeOfRank) = (names, ranks, nodeOfRank)
  }

  /// The nodes of a communicator's ranks. Collective.
  public init(_ communicator: Communicator) throws {
    self.init(hosts: try communicator.share(Launcher.hostName))
  }

  /// Whether `rank` is the leader of its node: its lowest rank.
  func isLeader(_ rank: Int) -> Bool { ranks[nodeOfRank[rank]][0] == rank }

  /// The rank on the next node that keeps a copy of the shards of `rank`; nil with a single node.
  func partner(of rank: Int) -> Int? {
    guard ranks.count > 1 else { return nil }
    let node = nodeOfRank[rank]
    let place = ranks[node].firstIndex(of: rank) ?? 0
    let next = ranks[(node + 1) % ranks.count]
    return next[place % next.count]
  }
}

extension Communicator {
  /// All-gather of one encoded value per rank. Collective.
  func share<Value: Codable>(_ value: Value) throws -> [Value] {
    let values = try gather(Array(JSONEncoder().encode([value])), root: 0)
      .flatMap { try JSONDecoder().decode([Value].self, from: Data($0)) }
    let all = try broadcast(Array(JSONEncoder().encode(values)), root: 0)
    return try JSONDecoder().decode([Value].self, from: Data(all))
  }
}
