import Checkpoints
import Foundation
import Support

/// The verification of a run's ledger: the hash chain, the order of steps, and the root hashes of checkpoints.
public struct LedgerVerification {
  /// The first error.
  public struct Finding {
    public var file: String
    /// Counted from 1; nil for an error of a checkpoint.
    public var line: Int?
    public var what: String
    /// The consequence, and what to do.
    public var meaning: String
  }

  /// The numbers of lines, of steps and of starts.
  public private(set) var lines = 0
  public private(set) var steps = 0
  public private(set) var starts = 0
  public private(set) var lastStep = 0
  /// Steps that were computed again, and those of them with a different result.
  public private(set) var repeatedSteps = 0
  public private(set) var differingSteps = 0
  /// Checkpoints that match the ledger, and those of versions that recorded no position.
  public private(set) var checkpoints = 0
  public private(set) var unknownCheckpoints = 0
  /// Bytes of an incomplete last line, from a crash or being written: not damage, the next start drops it.
  public private(set) var cutBytes = 0
  public private(set) var finding: Finding?

  /// Verifies the whole ledger, and the manifests of all checkpoints; not their chunks.
  ///
  /// - Throws: `ForgeError.badInput` when there is no run with a ledger; `tryAgain` when the ledger cannot be read.
  public init(_ run: RunDirectory) throws {
    guard FileManager.default.fileExists(atPath: run.ledger) else {
      throw ForgeError.badInput("'\(run.path)' is not a run with a ledger: it has no ledger.jsonl", code: .wrongKind)
    }
    // Checkpoints first: the ledger of a live run then has at least their positions.
    let saved = Self.checkpoints(of: run)
    let file = try LedgerFile(path: run.ledger)
    var order = StepOrder()
    var violation: (line: Int, what: String)?
    var known: [Int: StepLedger.Step] = [:]
    for entry in file.entries {
      if let what = order.violation(to: entry), violation == nil { violation = (entry.line, what) }
      starts += entry.kind == "start" ? 1 : 0
      guard let step = entry.step else { continue }
      steps += 1
      if let before = known.updateValue(step, forKey: step.step) {
        repeatedSteps += 1
        if !step.repeats(before) { differingSteps += 1 }
      }
    }
    lines = file.entries.count
    lastStep = order.last
    cutBytes = file.cutBytes
    if let damage = file.damage, damage.line <= violation?.line ?? .max {
      finding = Finding(
        file: run.ledger, line: damage.line, what: damage.what,
        meaning: damage.what.contains("hash")
          ? "it was changed after it was written, or the disk has damaged it: what it says is no proof"
          : "lines before it were changed, left out, added or moved: what was recorded until there is no proof")
    } else if let violation {
      finding = Finding(
        file: run.ledger, line: violation.line, what: violation.what,
        meaning: "the record is not that of one run; its lines were written anew, or by another program")
    } else {
      finding = verify(saved, file, order)
    }
  }

  /// The checkpoints of a run, or their errors.
  private static func checkpoints(of run: RunDirectory) -> [(path: String, Result<CheckpointReader, any Error>)] {
    let folder = run.checkpoints
    return folder.steps().compactMap { step in
      let path = folder.path(step: step)
      let reader = Result { try CheckpointReader(path: path) }
      if case .failure = reader, !FileManager.default.fileExists(atPath: path) { return nil }  // just deleted
      return (path, reader)
    }
  }

  private mutating func verify(
    _ saved: [(path: String, Result<CheckpointReader, any Error>)], _ file: LedgerFile, _ order: StepOrder
  ) -> Finding? {
    for (path, result) in saved {
      let reader: CheckpointReader
      do { reader = try result.get() } catch {
        return Finding(
          file: path, what: "cannot be read: \(error)",
          meaning: "a start takes the checkpoint before it; see forge checkpoint verify")
      }
      guard let position = StepLedger.Position(reader.metadata) else {
        unknownCheckpoints += 1
        continue
      }
      guard file.holds(position) else {
        return Finding(
          file: path, what: "was written when the ledger's first \(position.offset) bytes ended in another line",
          meaning: "the ledger was replaced or shortened, or the checkpoint is another run's")
      }
      if let recorded = order.step(at: position.offset), recorded != reader.step {
        return Finding(
          file: path, what: "is of step \(reader.step), and the ledger was at step \(recorded) when it was written",
          meaning: "the checkpoint is not what its name says, or another run's")
      }
      let line = file.entries.first {
        $0.end > position.offset && $0.kind == "checkpoint" && $0.number == reader.step
      }
      if let root = line?.root, root != reader.root {
        return Finding(
          file: path, what: "has the root hash \(reader.root), and line \(line?.line ?? 0) of the ledger \(root)",
          meaning: "the checkpoint is not the one that the run saved")
      }
      checkpoints += 1
    }
    return nil
  }
}

/// The valid order of steps in a ledger: consecutive, except after branches, starts, rollbacks and repairs.
private struct StepOrder {
  /// The last step done; nil after a repair of a version that did not record the step it went back to.
  private var current: Int?
  private var bound = Int.max
  /// The highest recorded step.
  private var highest: Int?
  /// The last step done at each line's end.
  private var states: [(end: Int, step: Int?)] = []

  var last: Int { current ?? 0 }

  /// The violation of the order by the next line; nil if it is valid.
  mutating func violation(to entry: LedgerFile.Entry) -> String? {
    defer { states.append((entry.end, current)) }
    switch entry.kind {
    case "branch":
      // A run that branches from another one's checkpoint; again, if it had no checkpoint of its own yet.
      guard let number = entry.number, entry.root != nil else {
        return "is a branch that does not say from which checkpoint"
      }
      (current, highest) = (number, max(highest ?? number, number))
    case "start":
      guard let after = entry.afterStep else { return "is a start that does not say after which step" }
      current = after
      defer { highest = max(highest ?? after, after) }
      if let highest, after > highest {
        return "continues after step \(after), and no step after \(highest) is recorded before it"
      }
    case "step":
      guard let step = entry.step?.step else { return "is a step without its numbers" }
      defer { (current, highest) = (step, max(highest ?? step, step)) }
      if let current, step != current + 1 { return "is step \(step) behind step \(current)" }
      if current == nil, step > bound { return "is step \(step) behind a repair of step \(bound)" }
    case "rollback", "repair":
      guard let number = entry.number else { return "is a \(entry.kind) that does not say of which step" }
      if let to = entry.toStep {
        defer { current = to }
        if let current, to > current { return "goes back to step \(to) from step \(current)" }
      } else if entry.kind == "repair" {
        (current, bound) = (nil, number)
      }
    case "checkpoint", "end":
      if let number = entry.number, number > highest ?? 0 {
        return "is of step \(number), and no step after \(highest ?? 0) is recorded before it"
      }
    default: break
    }
    return nil
  }

  /// The last step done at an offset between two lines; nil if unknown.
  func step(at offset: Int) -> Int? {
    let behind = states.partitioningIndex { $0.end > offset }
    return behind > 0 ? states[behind - 1].step : nil
  }
}

extension Array {
  /// The first index for which `isBehind` holds, by binary search.
  fileprivate func partitioningIndex(_ isBehind: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
