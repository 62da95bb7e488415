import Diagnostics
import Foundation

/// A ledger as it is read: its lines from some place on, checked.
struct LedgerFile {
  struct Entry {
    /// Of a line about a step.
    var step: StepLedger.Step?
    var kernelFamily: String?
    /// Of a start: the hash of what it was told to compute.
    var settings: String?
  }

  private struct Line: Decodable {
    var kind: String
    var step: Int?
    var first_sequence: Int?
    var sequences: Int?
    var loss_bits: String?
    var gradient_norm_bits: String?
    var applied: Bool?
    var kernel_family: String?
    var settings: Settings?
    var previous: String

    /// The hash that a start has; a change has a list under this name.
    struct Settings: Decodable {
      var hash: String?

      init(from decoder: any Decoder) throws { hash = try? decoder.singleValueContainer().decode(String.self) }
    }
  }

  static let hashKey = ", \"hash\": \""

  let entries: [Entry]
  /// Behind the last whole line.
  let end: StepLedger.Position
  /// The first thing that is wrong, in words; nil when the chain is whole.
  let damage: String?
  private let start: StepLedger.Position
  private let reachesStart: Bool

  /// - Throws: `ForgeError.tryAgain` when the file cannot be read.
  init(path: String, from start: StepLedger.Position = StepLedger.Position()) throws {
    guard let contents = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      throw systemError("read", path)
    }
    reachesStart = start.offset <= contents.count && Self.lineHash(before: start.offset, in: contents) == start.hash
    // A ledger that is not the checkpoint's is read from its beginning, to go on behind its end all the same.
    let first = reachesStart ? start : StepLedger.Position()
    self.start = start
    var entries: [Entry] = []
    var end = first
    var damage: String?
    var number = contents[..<first.offset].count { $0 == UInt8(ascii: "\n") }
    while let feed = contents[end.offset...].firstIndex(of: UInt8(ascii: "\n")) {
      number += 1
      let line = contents[end.offset..<feed]
      let hash = Self.recordedHash(of: line)
      if let hash, StepLedger.hash(line.dropLast(Self.tailLength)) == hash,
        let decoded = try? JSONDecoder().decode(Line.self, from: Data(line))
      {
        if decoded.previous != end.hash { damage = damage ?? "line \(number) does not follow the line before it" }
        entries.append(Self.entry(decoded))
      } else {
        damage = damage ?? "line \(number) does not match its hash"
      }
      end = StepLedger.Position(offset: feed + 1, hash: hash ?? StepLedger.noHash)
    }
    (self.entries, self.end, self.damage) = (entries, end, damage)
  }

  /// Whether a checkpoint's place is in this file.
  func holds(_ position: StepLedger.Position) -> Bool { reachesStart && position == start }

  /// `, "hash": "` + 64 digits + `"}`
  private static let tailLength = hashKey.utf8.count + 66

  private static func recordedHash(of line: Data) -> String? {
    guard line.count > tailLength else { return nil }
    return String(decoding: line.suffix(66).prefix(64), as: UTF8.self)
  }

  private static func lineHash(before offset: Int, in contents: Data) -> String? {
    guard offset > 0 else { return StepLedger.noHash }
    guard offset > tailLength, contents[offset - 1] == UInt8(ascii: "\n") else { return nil }
    return recordedHash(of: contents[..<(offset - 1)])
  }

  private static func entry(_ line: Line) -> Entry {
    var entry = Entry(kernelFamily: line.kernel_family, settings: line.settings?.hash)
    if line.kind == "step", let step = line.step, let first = line.first_sequence, let count = line.sequences,
      let loss = line.loss_bits.flatMap({ UInt64($0, radix: 16) }),
      let norm = line.gradient_norm_bits.flatMap({ UInt64($0, radix: 16) }), let applied = line.applied, count >= 0
    {
      entry.step = StepLedger.Step(
        step: step, sequences: first..<first + count, loss: Double(bitPattern: loss),
        gradientNorm: Double(bitPattern: norm), isApplied: applied)
    }
    return entry
  }
}
