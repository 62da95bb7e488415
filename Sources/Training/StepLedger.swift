import Digests
import Diagnostics
import Foundation

/// `ledger.jsonl`: what every step computed, in an append-only record of which no line can be changed, left out or
/// added later without a trace.
///
/// Each line is a JSON object that ends in the SHA-256 of everything before its `hash`; the hash of the line before is a
/// part of that. A run that is continued adds lines, and never takes any away: the steps that it computes again stand
/// there twice, with the same bits (docs/formats.md).
final class StepLedger {
  /// A place between two lines: what a checkpoint remembers of the ledger.
  struct Position: Equatable {
    /// Bytes before it.
    var offset = 0
    /// Of the line before it.
    var hash = StepLedger.noHash
  }

  /// What a step computed; equal bits mean an equal step.
  struct Step: Equatable {
    var step: Int
    /// Sequences of the stream.
    var sequences: Range<Int>
    var loss: Double
    /// Before clipping.
    var gradientNorm: Double
    var isApplied: Bool

    static func == (left: Step, right: Step) -> Bool {
      left.step == right.step && left.sequences == right.sequences && left.isApplied == right.isApplied
        && left.loss.bitPattern == right.loss.bitPattern
        && left.gradientNorm.bitPattern == right.gradientNorm.bitPattern
    }
  }

  static let noHash = String(repeating: "0", count: 64)

  let file: AppendedFile
  private(set) var position = Position()
  /// Steps after the checkpoint that the run continues from which an earlier start has computed already.
  private var earlier: [Int: Step] = [:]

  /// Opens the ledger at its end.
  ///
  /// - Parameters:
  ///   - checkpoint: where it was when the checkpoint that the run continues from was written.
  ///   - settings: the hash of what that checkpoint's run was told to compute, and of what this start is.
  ///   - report: told about what is missing or damaged; the record goes on behind it.
  /// - Throws: `ForgeError.tryAgain` when the file cannot be read or written.
  init(
    path: String, continuingFrom checkpoint: Position?, settings: String, expected: String, report: (String) -> Void
  ) throws {
    file = try AppendedFile(path: path)
    let read = try LedgerFile(path: path, from: checkpoint ?? Position())
    if let checkpoint, !read.holds(checkpoint) {
      report(
        "'\(path)' is not the ledger that the checkpoint was written with; the record of earlier steps is not whole")
    }
    if let damage = read.damage { report("'\(path)' is damaged: \(damage)") }
    var settings = settings
    for entry in read.entries {
      if let changed = entry.settings { settings = changed }
      if let step = entry.step { earlier[step.step] = settings == expected ? step : nil }
    }
    position = read.end
    try file.truncate(to: position.offset)  // a line that a crash cut short
  }

  /// Appends a step.
  ///
  /// - Returns: what an earlier start recorded of it, if that differs.
  func append(_ step: Step, kernelFamily: String, ranks: Int) throws -> Step? {
    try append(
      "step",
      [
        ("step", .integer(step.step)), ("first_sequence", .integer(step.sequences.lowerBound)),
        ("sequences", .integer(step.sequences.count)), ("loss", .number(step.loss)),
        ("loss_bits", .string(Self.bits(step.loss))), ("gradient_norm_bits", .string(Self.bits(step.gradientNorm))),
        ("applied", .boolean(step.isApplied)), ("kernel_family", .string(kernelFamily)), ("ranks", .integer(ranks)),
      ])
    guard let before = earlier.removeValue(forKey: step.step), before != step else { return nil }
    return before
  }

  /// Appends an event: `start`, `change`, `checkpoint`, `skip`, `rollback`, `repair`, `end`.
  func append(_ kind: String, _ values: [(String, MetricsLog.Value)]) throws {
    let members = [("kind", MetricsLog.Value.string(kind))] + values + [("previous", .string(position.hash))]
    let body = "{" + members.map { "\"\($0.0)\": \(MetricsLog.text($0.1))" }.joined(separator: ", ")
    let hash = Self.hash(body.utf8)
    let line = body + LedgerFile.hashKey + hash + "\"}\n"
    try file.append(line)
    position = Position(offset: position.offset + line.utf8.count, hash: hash)
  }

  static func bits(_ value: Double) -> String {
    let digits = String(value.bitPattern, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  static func hash(_ bytes: some Sequence<UInt8>) -> String {
    SHA256.hash(Array(bytes)).hexadecimal
  }
}

extension StepLedger.Step {
  /// - Parameter sequences: of a global batch.
  init(step: Int, sequences: Int, _ outcome: StepOutcome) {
    let first = outcome.firstSequence
    self.init(
      step: step, sequences: first..<first + sequences, loss: outcome.loss, gradientNorm: outcome.gradientNorm,
      isApplied: outcome.isApplied)
  }
}
