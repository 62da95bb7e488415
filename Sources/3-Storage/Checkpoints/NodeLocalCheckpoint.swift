import Support

/// A node's part of one node-local checkpoint.
package struct NodeLocalHolding: Codable, Hashable, Sendable {
  package var step: Int
  /// The manifest's root hash.
  package var root: String
  /// The step of the newest checkpoint on the shared disk at the time of the save; 0 before the first.
  package var sharedStep: Int
  /// The lengths of all the checkpoint's shards, bytes.
  package var lengths: [String: Int]
  /// The shards that are complete on the node.
  package var present: Set<String>

  package init(step: Int, root: String, sharedStep: Int, lengths: [String: Int], present: Set<String>) {
    self.step = step
    self.root = root
    self.sharedStep = sharedStep
    self.lengths = lengths
    self.present = present
  }

  /// Lists the checkpoints of a node's folder.
  ///
  /// - Parameter report: called with damaged manifests.
  package static func all(in folder: CheckpointFolder, report: (ForgeError) -> Void) -> [NodeLocalHolding] {
    folder.steps().compactMap { step in
      do {
        let reader = try CheckpointReader(partsIn: folder.path(step: step))
        return NodeLocalHolding(
          step: step, root: reader.root,
          sharedStep: reader.metadata[NodeLocalCheckpoint.sharedStepKey]?.integer ?? 0,
          lengths: reader.fileLengths, present: reader.presentFiles)
      } catch {
        report(.bug(error))
        return nil
      }
    }
  }
}

/// A node-local checkpoint, of which every node keeps some shards.
public struct NodeLocalCheckpoint: Equatable, Sendable {
  /// The metadata key of the newest step on the shared disk.
  package static let sharedStepKey = "shared_step"

  public var step: Int
  public var sharedStep: Int
  package var root: String
  package var lengths: [String: Int]
  /// The nodes that have the manifest.
  package var nodes: [Int]
  /// The nodes that have a shard, by its name.
  package var holders: [String: [Int]]

  /// The shards that no node has, in order.
  public var missing: [String] { lengths.keys.filter { holders[$0] == nil }.sorted() }

  /// Merges the nodes' holdings into checkpoints, newest first; of one step, the one whose manifest more nodes have.
  ///
  /// - Parameter holdings: by node.
  package static func all(_ holdings: [[NodeLocalHolding]]) -> [NodeLocalCheckpoint] {
    var found: [String: NodeLocalCheckpoint] = [:]
    for (node, holdings) in holdings.enumerated() {
      for holding in holdings {
        var checkpoint =
          found[holding.root]
          ?? NodeLocalCheckpoint(
            step: holding.step, sharedStep: holding.sharedStep, root: holding.root, lengths: holding.lengths, nodes: [],
            holders: [:])
        checkpoint.nodes.append(node)
        for file in holding.present { checkpoint.holders[file, default: []].append(node) }
        found[holding.root] = checkpoint
      }
    }
    return found.values.sorted { ($0.step, $0.nodes.count, $0.root) > ($1.step, $1.nodes.count, $1.root) }
  }
}
