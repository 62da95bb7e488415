public import Checkpoints
import Foundation
public import MPI
import Support

/// Node-local checkpoints with a partner copy: each node stores the shards of its own ranks and of the previous node's
/// on its own disk, so that the shards of one lost node survive.
///
/// A node's folder is an ordinary ``CheckpointFolder`` whose checkpoints have the same manifest on every node and some
/// of its shards. One rank of each node, its leader, changes the folder.
public final class NodeLocalCheckpoints: Sendable {
  /// This node's folder.
  public let folder: CheckpointFolder
  public let nodes: Nodes
  private let communicator: Communicator
  var isLeader: Bool { nodes.isLeader(communicator.rank) }

  /// - Parameters:
  ///   - pattern: a folder, in which `%h` is replaced by the host name.
  ///   - run: the name of the run's folder in it.
  public static func path(_ pattern: String, run: String) -> String {
    pattern.replacing("%h", with: Launcher.hostName) + "/" + run
  }

  /// Creates the folders. Collective.
  ///
  /// - Parameters:
  ///   - path: this node's folder.
  ///   - token: unique to the job.
  /// - Throws: `ForgeError.badInput` when a folder cannot be written, or is the same on two nodes.
  public init(path: String, files: any FileOperations, token: String, communicator: Communicator) throws {
    self.communicator = communicator
    folder = CheckpointFolder(path: path, files: files)
    nodes = try Nodes(communicator)
    let (isLeader, node) = (isLeader, nodes.nodeOfRank[communicator.rank])
    func tokenPath(_ node: Int) -> String { "\(path)/.\(token).\(node)" }
    do {
      try communicator.together {
        if isLeader { try folder.make(withEmptyFile: tokenPath(node)) }
      }
    } catch let error as ForgeError {
      throw error.reworded(as: .badInput, "checkpoint.local cannot be used: ", keyPath: "checkpoint.local")
    }
    let others = nodes.hosts.indices.filter { $0 != node && FileManager.default.fileExists(atPath: tokenPath($0)) }
    try communicator.barrier()
    if isLeader { try? files.removeFile(tokenPath(node)) }
    try communicator.together {
      guard let other = others.first else { return }
      throw ForgeError.badInput(
        "checkpoint.local: '\(path)' is one folder on the nodes \(nodes.hosts[node]) and \(nodes.hosts[other])",
        hint: "name one on a disk of each node, or put %h, the host's name, into it", code: .invalidSetting,
        keyPath: "checkpoint.local")
    }
  }

  // MARK: Saving

  /// The metadata of a node-local checkpoint saved when `sharedStep` was the newest checkpoint on the shared disk.
  public static func metadata(_ metadata: JSONValue, sharedStep: Int) -> JSONValue {
    guard case .object(var entries) = metadata else { return metadata }
    entries[NodeLocalCheckpoint.sharedStepKey] = .integer(sharedStep)
    return .object(entries)
  }

  /// Copies every rank's shard file to its partner's node. Collective; `communicator` is the saving thread's.
  ///
  /// - Parameter shard: this rank's; nil when it wrote none.
  func copyToPartners(
    _ shard: (file: String, length: Int)?, step: Int, communicator: Communicator
  ) throws {
    struct Shard: Codable { var file: String, length: Int }
    let shards = try communicator.share(shard.map { Shard(file: $0.file, length: $0.length) })
    let transfers = shards.enumerated().compactMap { rank, shard -> ShardTransfer? in
      guard let shard, let partner = nodes.partner(of: rank) else { return nil }
      return ShardTransfer(file: shard.file, length: shard.length, source: rank, destination: partner)
    }
    let partial = folder.partialPath(step: step)
    try ShardExchange(communicator: communicator, files: folder.files)
      .copy(transfers, from: partial, to: partial)
  }

  /// Deletes all node-local checkpoints, when the run is complete. Collective.
  public func discard() throws {
    try communicator.together { if isLeader { try folder.discard() } }
  }

  // MARK: Restoring

  /// The contents of a node's folder.
  private struct Survey: Codable {
    var holdings: [NodeLocalHolding] = []
    var damage: [String] = []
  }

  /// Finds all checkpoints of which any node has a part, newest first. Collective.
  ///
  /// - Parameter report: called with each damaged manifest.
  public func find(report: (String) -> Void) throws -> [NodeLocalCheckpoint] {
    var survey = Survey()
    if isLeader {
      survey.holdings = NodeLocalHolding.all(in: folder) { survey.damage.append("node \(Launcher.hostName): \($0)") }
    }
    let all = try communicator.share(survey)
    all.flatMap(\.damage).forEach(report)
    return NodeLocalCheckpoint.all(nodes.ranks.map { all[$0[0]].holdings })
  }

  /// Copies to every node the manifest and the shards that its ranks need and it lacks. Collective.
  ///
  /// - Parameter checkpoint: a complete one.
  /// - Returns: this node's part, with all shards that this rank reads.
  /// - Throws: `ForgeError`, on all ranks; `MPIError`.
  public func assemble(_ checkpoint: NodeLocalCheckpoint, for transfer: CheckpointTransfer) throws -> CheckpointReader {
    let step = checkpoint.step
    let node = nodes.nodeOfRank[communicator.rank]
    let isNew = !checkpoint.nodes.contains(node)
    let source = nodes.ranks[checkpoint.nodes[0]][0]
    let manifest = try communicator.broadcast(
      communicator.together {
        try communicator.rank == source ? CheckpointReader(partsIn: folder.path(step: step)).manifestBytes() : []
      }, root: source)
    try communicator.together { if isLeader && isNew { try folder.begin(step: step, manifest: manifest) } }
    let reader = try communicator.together {
      try CheckpointReader(partsIn: isNew ? folder.partialPath(step: step) : folder.path(step: step))
    }
    let needed = try communicator.share(communicator.together { try transfer.files(reader) })
    let needs = nodes.ranks.map { $0.reduce(into: Set<String>()) { $0.formUnion(needed[$1]) } }
    try ShardExchange(communicator: communicator, files: folder.files)
      .copy(checkpoint.transfers(needs: needs, nodes: nodes), from: reader.path, to: reader.path)
    try communicator.together {
      guard isLeader else { return }
      if isNew {
        try folder.commit(step: step, manifest: manifest)
      } else {
        try folder.files.synchronizeFolder(reader.path)
      }
    }
    return try communicator.together { try CheckpointReader(partsIn: folder.path(step: step)) }
  }

  /// Verifies all shards of a checkpoint on all nodes, and removes damaged ones, so that the partner's copies are used.
  /// Collective.
  ///
  /// - Parameter report: called with each removed file.
  /// - Returns: the remaining checkpoint, if complete; nil also when nothing was damaged.
  public func withoutDamage(_ checkpoint: NodeLocalCheckpoint, threads: Int, report: (String) -> Void) throws
    -> NodeLocalCheckpoint?
  {
    let neighbours = nodes.ranks[nodes.nodeOfRank[communicator.rank]]
    let place = neighbours.firstIndex(of: communicator.rank) ?? 0
    var damage: [String] = []
    try communicator.together {
      guard let reader = try? CheckpointReader(partsIn: folder.path(step: checkpoint.step)),
        reader.root == checkpoint.root
      else { return }
      for (index, file) in reader.presentFiles.sorted().enumerated() where index % neighbours.count == place {
        guard let error = reader.damage(in: file, threads: threads).first else { continue }
        damage.append("node \(Launcher.hostName): removed a damaged copy: \(error)")
        try folder.files.removeFile("\(reader.path)/\(file)")
      }
    }
    let removed = try communicator.share(damage).flatMap(\.self)
    removed.forEach(report)
    guard !removed.isEmpty else { return nil }
    return try find { _ in }.first { $0.root == checkpoint.root && $0.missing.isEmpty }
  }
}
