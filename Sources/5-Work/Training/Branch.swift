import Checkpoints
import Foundation
import RunStore
import Support

/// The branch point of a run: the checkpoint of another run, its trunk, that it started from.
///
/// Recorded in the run's checkpoints, and in its ledger before the first `start` entry.
struct Branch: Codable, Equatable {
  /// The value of `run.branch_from`: a checkpoint or a run.
  var from: String
  /// The checkpoint's folder, and its root hash.
  var checkpoint: String
  var root: String
  /// Steps done in the trunk: the branch's first step is the next one, with which its data stream begins.
  var step: Int
  /// Tokens trained on up to the branch point.
  var tokens: Int
  /// The position in the trunk's ledger; nil when the checkpoint does not record it.
  var ledgerOffset: Int?
  var ledgerHash: String?

  private enum CodingKeys: String, CodingKey {
    case from, checkpoint, root, step, tokens
    case ledgerOffset = "ledger_offset"
    case ledgerHash = "ledger_hash"
  }

  /// - Parameter reader: of the trunk's checkpoint.
  init(from path: String, _ reader: CheckpointReader, tokens: Int) {
    from = path
    checkpoint = reader.path
    root = reader.root
    step = reader.step
    self.tokens = tokens
    let position = StepLedger.Position(reader.metadata)
    (ledgerOffset, ledgerHash) = (position?.offset, position?.hash)
  }

  // MARK: In a checkpoint's metadata

  static let metadataKey = "branch"

  /// Nil for the checkpoint of a run that did not branch.
  init?(_ metadata: JSONValue) {
    guard let value = metadata[Self.metadataKey], let data = try? JSONEncoder().encode(value),
      let branch = try? JSONDecoder().decode(Self.self, from: data)
    else { return nil }
    self = branch
  }

  var metadata: JSONValue {
    get throws { try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(self)) }
  }

  // MARK: In the ledger

  static let ledgerKind = "branch"

  var ledgerEntry: [(String, JSONLine)] {
    let position = ledgerHash.map { [("ledger_hash", JSONLine.string($0))] } ?? []
    return [("step", .integer(step)), ("checkpoint", .string(checkpoint)), ("root", .string(root))]
      + (ledgerOffset.map { [("ledger_offset", .integer($0))] } ?? []) + position
  }

  /// Whether a path refers to the checkpoint that the run branched from: by name, or else by root hash.
  func isNamed(by path: String) -> Bool {
    RunSources.isSame(path, from) || RunSources.isSame(path, checkpoint)
      || (try? CheckpointReader(partsIn: path))?.root == root
  }
}
