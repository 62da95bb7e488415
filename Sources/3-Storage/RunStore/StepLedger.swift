import Checkpoints
import Foundation
import Support

/// `ledger.jsonl`: what every step computed, in an append-only record of which no line can be changed, left out or
/// added later without a trace.
///
/// Each line is a JSON object that ends in the SHA-256 of everything before its `hash`; the hash of the line before is a
/// part of that. A run that is continued adds lines, and never takes any away: the steps that it computes again stand
/// there twice, with the same bits (docs/formats.md).
public final class StepLedger {
  /// A place between two lines: what a checkpoint remembers of the ledger.
  public struct Position: Equatable, Sendable {
    /// Bytes before it.
    public var offset = 0
    /// Of the line before it.
    public var hash = StepLedger.noHash

    public init(offset: Int = 0, hash: String = StepLedger.noHash) {
      self.offset = offset
      self.hash = hash
    }
  }

  /// What a step computed.
  public struct Step: Sendable {
    public var step: Int
    /// Sequences of the stream.
    public var sequences: Range<Int>
    /// SHA-256 of what the global batch held, hexadecimal; nil in ledgers of versions before.
    public var batch: String?
    public var loss: Double
    /// Before clipping.
    public var gradientNorm: Double
    public var isApplied: Bool

    public init(
      step: Int, sequences: Range<Int>, batch: String?, loss: Double, gradientNorm: Double, isApplied: Bool
    ) {
      self.step = step
      self.sequences = sequences
      self.batch = batch
      self.loss = loss
      self.gradientNorm = gradientNorm
      self.isApplied = isApplied
    }

    /// Whether the same data were read, as far as both records say.
    public func hasData(of other: Step) -> Bool {
      sequences == other.sequences && (batch == nil || other.batch == nil || batch == other.batch)
    }

    /// Whether the same was computed from the same data, bit for bit.
    public func repeats(_ other: Step) -> Bool {
      step == other.step && hasData(of: other) && isApplied == other.isApplied
        && loss.bitPattern == other.loss.bitPattern && gradientNorm.bitPattern == other.gradientNorm.bitPattern
    }
  }

  public static let noHash = String(repeating: "0", count: 64)

  public let file: AppendedFile
  public private(set) var position = Position()
  /// Steps after the checkpoint that the run continues from which an earlier start has computed already.
  private var earlier: [Int: Step] = [:]

  /// Opens the ledger at its end.
  ///
  /// - Parameters:
  ///   - checkpoint: where it was when the checkpoint that the run continues from was written.
  ///   - settings: the hash of what that checkpoint's run was told to compute, and of what this start is.
  ///   - report: told about what is missing or damaged; the record goes on behind it.
  /// - Throws: `ForgeError.tryAgain` when the file cannot be read or written.
  public init(
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
  public func append(_ step: Step, kernelFamily: String, ranks: Int) throws -> Step? {
    try append(
      "step",
      [
        ("step", .integer(step.step)), ("first_sequence", .integer(step.sequences.lowerBound)),
        ("sequences", .integer(step.sequences.count)),
      ] + (step.batch.map { [("batch_sha256", .string($0))] } ?? []) + [
        ("loss", .number(step.loss)),
        ("loss_bits", .string(Self.bits(step.loss))), ("gradient_norm_bits", .string(Self.bits(step.gradientNorm))),
        ("applied", .boolean(step.isApplied)), ("kernel_family", .string(kernelFamily)), ("ranks", .integer(ranks)),
      ])
    guard let before = earlier.removeValue(forKey: step.step), !step.repeats(before) else { return nil }
    return before
  }

  /// Appends an event: `branch`, `start`, `change`, `checkpoint`, `skip`, `rollback`, `repair`, `end`.
  public func append(_ kind: String, _ values: [(String, JSONLine)]) throws {
    let members = [("kind", JSONLine.string(kind))] + values + [("previous", .string(position.hash))]
    let body = "{" + JSONLine.members(members)
    let hash = Self.hash(body.utf8)
    let line = body + LedgerFile.hashKey + hash + "\"}\n"
    try file.append(line)
    position = Position(offset: position.offset + line.utf8.count, hash: hash)
  }

  public static func bits(_ value: Double) -> String {
    let digits = String(value.bitPattern, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  public static func hash(_ bytes: some Sequence<UInt8>) -> String {
    SHA256.hash(Array(bytes)).hexadecimal
  }
}

extension StepLedger.Position {
  private static let (offsetKey, hashKey) = ("offset", "hash")

  /// As a checkpoint's metadata have it, under ``key``.
  public var metadata: JSONValue { [Self.offsetKey: .integer(offset), Self.hashKey: .string(hash)] }

  /// The key in a checkpoint's metadata.
  public static let key = "ledger"

  /// - Parameter checkpoint: a checkpoint's metadata.
  /// - Returns: nil where they say nothing of a ledger.
  public init?(_ checkpoint: JSONValue) {
    guard let offset = checkpoint[Self.key]?[Self.offsetKey]?.integer,
      let hash = checkpoint[Self.key]?[Self.hashKey]?.string
    else { return nil }
    self.init(offset: offset, hash: hash)
  }
}
