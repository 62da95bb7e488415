import Checkpoints
import Foundation
import MPI
import Parallelism
import RunConfiguration
import Support

/// Starting a run from another run's checkpoint.
extension RunState {
  /// Branches from another run's checkpoint: loads its weights, optimizer state and step; the data stream starts anew.
  /// Collective.
  ///
  /// - Parameters:
  ///   - path: a checkpoint, or a run, of which the newest sound checkpoint is loaded.
  ///   - root: the required root hash; nil for any.
  /// - Returns: the record of the branch.
  /// - Throws: `ForgeError.badInput` when there is no checkpoint, it is damaged, or the run cannot branch from it.
  func branch(from path: String, root: String? = nil) throws -> RunRecord {
    var damage: ForgeError?
    for candidate in try checkpointPaths(at: path).reversed() {
      if let damage { note("skipping a damaged checkpoint: \(damage)") }
      let reader: CheckpointReader
      do {
        reader = try communicator.together { try Self.open(candidate, root: root) }
      } catch let error as ForgeError where error.kind == .badInput {
        damage = error
        continue
      }
      let record = try RunRecord(reader, branchingFrom: path, configuration, sources: found.sources)
      do { try checkpoints.load(reader) } catch let error as ForgeError where error.kind == .badInput {
        damage = error
        continue
      }
      adopt(record, step: reader.step)
      if let recorded = RunSources(reader.metadata) { found.complete(from: recorded) }
      return record
    }
    throw configuration.branchError(
      Violation(
        "leads to no sound checkpoint: \(damage?.description ?? "there is none in '\(path)'")",
        code: damage?.code ?? .wrongKind))
  }

  private static func open(_ path: String, root: String?) throws -> CheckpointReader {
    let reader = try CheckpointReader(path: path)
    guard let root, reader.root != root else { return reader }
    throw ForgeError.badInput(
      "checkpoint '\(path)' is another one by now: its root hash is \(reader.root), not \(root)", code: .dataChanged)
  }

  /// The checkpoints that a path refers to, in ascending order of steps, as rank 0 finds them.
  private func checkpointPaths(at path: String) throws -> [String] {
    var found: [UInt8] = []
    try communicator.together {
      guard communicator.isLeader else { return }
      let paths: [String]
      do {
        paths =
          switch try CheckpointLocation(path: path) {
          case .one(let path): [path]
          case .all(let folder): folder.steps().map { folder.path(step: $0) }
          }
      } catch let error as ForgeError where error.kind == .badInput {
        throw configuration.branchError(Violation("leads to no checkpoint: \(error)", code: error.code))
      }
      found = try Array(JSONEncoder().encode(paths))
    }
    found = try communicator.broadcast(found, root: 0)
    guard let paths = try? JSONDecoder().decode([String].self, from: Data(found)) else {
      preconditionFailure("rank 0 sent paths that it did not find")
    }
    return paths
  }
}
