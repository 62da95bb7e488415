import Checkpoints
import Foundation
import Support

/// The ledger, `ledger.jsonl`: a tamper-evident, append-only log of every step's result, in which a line that is
/// changed, removed or inserted later breaks a hash chain.
///
/// Each line is a JSON object that ends in the SHA-256 of everything before its `hash`, which includes the hash of the
/// line before. A resumed run appends lines and removes no complete one: steps that it computes again are recorded
/// twice, with the same bits (docs/formats.md).
public final class StepLedger {
  /// A position between two lines, which a checkpoint records.
  public struct Position: Equatable, Sendable {
    /// Bytes before it.
    public var offset = 0
    /// The hash of the line before it.
    public var hash = StepLedger.noHash

    public init(offset: Int = 0, hash: String = StepLedger.noHash) {
      self.offset = offset
      self.hash = hash
    }
  }

  /// The result of a step.
  public struct Step: Sendable {
    public var step: Int
    /// The sequences of the data stream.
    public var sequences: Range<Int>
    /// The SHA-256 of the global batch, hexadecimal; nil in ledgers of earlier versions.
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

    /// Whether both steps read the same data, as far as both are recorded.
    public func hasData(of other: Step) -> Bool {
      sequences == other.sequences && (batch == nil || other.batch == nil || batch == other.batch)
    }

    /// Whether both steps have the same data and the same result, bit for bit.
    public func repeats(_ other: Step) -> Bool {
      step == other.step && hasData(of: other) && isApplied == other.isApplied
        && loss.bitPattern == other.loss.bitPattern && gradientNorm.bitPattern == other.gradientNorm.bitPattern
    }
  }

  public static let noHash = String(repeating: "0", count: 64)

  public let file: AppendedFile
  public private(set) var position = Position()
  /// Steps after the resumed checkpoint that an earlier start has computed already.
  private var earlier: [Int: Step] = [:]

  /// Opens the ledger at its end.
  ///
  /// - Parameters:
  ///   - checkpoint: the position that the resumed checkpoint records.
  ///   - settings, expected: the settings hashes of that checkpoint and of this start.
  ///   - report: called with what is missing or damaged; the ledger is continued behind it.
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
    try file.truncate(to: position.offset)  // an incomplete line of a crash
  }

  /// Appends a step.
  ///
  /// - Returns: the result that an earlier start recorded, if it differs.
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

  /// The position as a checkpoint's metadata, under ``key``.
  public var metadata: JSONValue { [Self.offsetKey: .integer(offset), Self.hashKey: .string(hash)] }

  /// The key in a checkpoint's metadata.
  public static let key = "ledger"

  /// - Parameter checkpoint: a checkpoint's metadata.
  /// - Returns: nil where they record no ledger.
  public init?(_ checkpoint: JSONValue) {
    guard let offset = checkpoint[Self.key]?[Self.offsetKey]?.integer,
      let hash = checkpoint[Self.key]?[Self.hashKey]?.string
    else { return nil }
    self.init(offset: offset, hash: hash)
  }
}
