/// What a node has of one checkpoint.
struct LocalHolding: Codable, Equatable {
  var step: Int
  /// The manifest's root hash.
  var root: String
  /// The newest checkpoint on the shared disk when it was made; 0 before the first.
  var sharedStep: Int
  /// Of all the checkpoint's shards, bytes.
  var lengths: [String: Int]
  /// Those that are on the node, whole.
  var present: Set<String>
}

/// A checkpoint that the nodes keep between them, each some shards.
public struct LocalCheckpoint: Equatable, Sendable {
  public var step: Int
  public var sharedStep: Int
  var root: String
  var lengths: [String: Int]
  /// The nodes that have the manifest.
  var nodes: [Int]
  /// The nodes that have a shard, by its name.
  var holders: [String: [Int]]

  /// The shards that no node has, in order.
  public var missing: [String] { lengths.keys.filter { holders[$0] == nil }.sorted() }

  /// Newest first; of one step, that of which more nodes have the manifest.
  ///
  /// - Parameter holdings: by node.
  static func all(_ holdings: [[LocalHolding]]) -> [LocalCheckpoint] {
    var found: [String: LocalCheckpoint] = [:]
    for (node, holdings) in holdings.enumerated() {
      for holding in holdings {
        var checkpoint =
          found[holding.root]
          ?? LocalCheckpoint(
            step: holding.step, sharedStep: holding.sharedStep, root: holding.root, lengths: holding.lengths, nodes: [],
            holders: [:])
        checkpoint.nodes.append(node)
        for file in holding.present { checkpoint.holders[file, default: []].append(node) }
        found[holding.root] = checkpoint
      }
    }
    return found.values.sorted { ($0.step, $0.nodes.count, $0.root) > ($1.step, $1.nodes.count, $1.root) }
  }

  /// Who sends which shard to whom, so that every node has what its ranks need. The same on every rank.
  ///
  /// - Parameter needs: shards, by node.
  func transfers(needs: [Set<String>], nodes: Nodes) -> [ShardTransfer] {
    var transfers: [ShardTransfer] = []
    for (node, files) in needs.enumerated() {
      for file in files.sorted() {
        guard let holders = holders[file], !holders.contains(node), let length = lengths[file] else { continue }
        // Each transfer another pair of ranks, as far as there are any.
        let number = transfers.count
        let (from, to) = (nodes.ranks[holders[node % holders.count]], nodes.ranks[node])
        transfers.append(
          ShardTransfer(
            file: file, length: length, source: from[number % from.count], destination: to[number % to.count]))
      }
    }
    return transfers
  }
}
