import Foundation
import Support

/// A ledger, read and verified from a position on.
public struct LedgerFile {
  /// A line that matches its hash.
  public struct Entry {
    /// Counted from 1.
    public var line: Int
    public var kind: String
    /// The step of the line, if it has one.
    public var number: Int?
    /// The result of a step; nil for other lines.
    public var step: StepLedger.Step?
    public var kernelFamily: String?
    /// Of a start: the hash of its settings, and the step after which it began.
    public var settings: String?
    public var afterStep: Int?
    /// Of a rollback or a repair: the step that the run went back to.
    public var toStep: Int?
    /// Of a checkpoint: its root hash; of a branch: the root hash and folder of its first checkpoint.
    public var root: String?
    public var checkpoint: String?
    /// The offset of the line's end.
    public var end: Int
  }

  /// Damage of the hash chain.
  public struct Damage: CustomStringConvertible {
    /// Counted from 1.
    public var line: Int
    /// The error, in words that follow the line's number.
    public var what: String
    public var description: String { "line \(line) \(what)" }
  }

  private struct Line: Decodable {
    var kind: String
    var step: Int?
    var first_sequence: Int?
    var sequences: Int?
    var batch_sha256: String?
    var loss_bits: String?
    var gradient_norm_bits: String?
    var applied: Bool?
    var kernel_family: String?
    var settings: Settings?
    var after_step: Int?
    var to_step: Int?
    var root: String?
    var checkpoint: String?
    var previous: String

    /// The settings hash of a start; a change has a list under this key.
    struct Settings: Decodable {
      var hash: String?

      init(from decoder: any Decoder) throws { hash = try? decoder.singleValueContainer().decode(String.self) }
    }
  }

  static let hashKey = ", \"hash\": \""

  public let entries: [Entry]
  /// The position after the last complete line.
  public let end: StepLedger.Position
  /// Bytes after `end`: an incomplete line, from a crash or being written.
  public var cutBytes: Int { contents.count - end.offset }
  /// The first damage; nil when the chain is intact.
  public let damage: Damage?
  private let contents: Data

  /// - Throws: `ForgeError.tryAgain` when the file cannot be read.
  public init(path: String, from start: StepLedger.Position = StepLedger.Position()) throws {
    guard let contents = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      throw systemError("read", path)
    }
    self.contents = contents
    // A ledger without the checkpoint's position is read from its beginning; the run still appends to it.
    let first = Self.hash(before: start.offset, in: contents) == start.hash ? start : StepLedger.Position()
    var entries: [Entry] = []
    var end = first
    var damage: Damage?
    var number = contents[..<first.offset].count { $0 == UInt8(ascii: "\n") }
    while let feed = contents[end.offset...].firstIndex(of: UInt8(ascii: "\n")) {
      number += 1
      let line = contents[end.offset..<feed]
      let hash = Self.recordedHash(of: line)
      if let hash, StepLedger.hash(line.dropLast(Self.tailLength)) == hash,
        let decoded = try? JSONDecoder().decode(Line.self, from: Data(line))
      {
        if decoded.previous != end.hash {
          damage = damage ?? Damage(line: number, what: "does not follow the line before it")
        }
        entries.append(Self.entry(decoded, line: number, end: feed + 1))
      } else {
        damage = damage ?? Damage(line: number, what: "does not match its hash")
      }
      end = StepLedger.Position(offset: feed + 1, hash: hash ?? StepLedger.noHash)
    }
    (self.entries, self.end, self.damage) = (entries, end, damage)
  }

  /// Whether the file has a checkpoint's position.
  public func holds(_ position: StepLedger.Position) -> Bool {
    Self.hash(before: position.offset, in: contents) == position.hash
  }

  /// The kind of a single line, not verified; nil when it is not a ledger line.
  static func kind(of line: some Collection<UInt8>) -> String? {
    (try? JSONDecoder().decode(Line.self, from: Data(line)))?.kind
  }

  /// `, "hash": "` + 64 digits + `"}`
  private static let tailLength = hashKey.utf8.count + 66

  private static func recordedHash(of line: Data) -> String? {
    guard line.count > tailLength else { return nil }
    return String(decoding: line.suffix(66).prefix(64), as: UTF8.self)
  }

  /// The hash of the line that ends at an offset; nil if none does.
  private static func hash(before offset: Int, in contents: Data) -> String? {
    guard offset > 0 else { return StepLedger.noHash }
    guard offset > tailLength, offset <= contents.count, contents[offset - 1] == UInt8(ascii: "\n") else { return nil }
    return recordedHash(of: contents[..<(offset - 1)])
  }

  private static func entry(_ line: Line, line number: Int, end: Int) -> Entry {
    var entry = Entry(
      line: number, kind: line.kind, number: line.step, kernelFamily: line.kernel_family,
      settings: line.settings?.hash, afterStep: line.after_step, toStep: line.to_step, root: line.root,
      checkpoint: line.checkpoint, end: end)
    if line.kind == "step", let step = line.step, let first = line.first_sequence, let count = line.sequences,
      let loss = line.loss_bits.flatMap({ UInt64($0, radix: 16) }),
      let norm = line.gradient_norm_bits.flatMap({ UInt64($0, radix: 16) }), let applied = line.applied, count >= 0
    {
      entry.step = StepLedger.Step(
        step: step, sequences: first..<first + count, batch: line.batch_sha256, loss: Double(bitPattern: loss),
        gradientNorm: Double(bitPattern: norm), isApplied: applied)
    }
    return entry
  }
}
