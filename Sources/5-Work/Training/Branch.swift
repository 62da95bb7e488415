import Checkpoints
import Foundation
import RunStore
import Support

/// Where a run branched off another one, its trunk: the checkpoint that it began with.
///
/// The run's checkpoints carry it, and its ledger has it before the first start.
struct Branch: Codable, Equatable {
  /// As `run.branch_from` named it: a checkpoint or a run.
  var from: String
  /// The checkpoint's own folder, and its root hash.
  var checkpoint: String
  var root: String
  /// Steps done there: the branch's first step is the next one, and its data stream begins with it.
  var step: Int
  /// Tokens that the model had been trained on.
  var tokens: Int
  /// Where the trunk's ledger was; nil where the checkpoint does not say.
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

  /// nil for the checkpoint of a run that did not branch off.
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

  /// Whether a path leads to the checkpoint that the run began with. Only one that is spelt differently is looked at.
  func isNamed(by path: String) -> Bool {
    RunSources.isSame(path, from) || RunSources.isSame(path, checkpoint)
      || (try? CheckpointReader(partsIn: path))?.root == root
  }
}
