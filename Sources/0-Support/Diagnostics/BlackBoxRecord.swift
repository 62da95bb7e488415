import Support
import Foundation
import Synchronization

/// What a rank's black box says, as it was at one moment. Times are seconds since 1970.
public struct BlackBoxRecord: Sendable {
  public struct Operation: Sendable, Equatable {
    /// The number in its communicator, from 1.
    public var sequence: UInt64
    /// MPI's name for it.
    public var name: String
    /// What this rank brought.
    public var bytes: Int
    /// File and line of the call.
    public var site: String
    public var began: Double
    /// nil until it is complete on this rank.
    public var finished: Double?
    /// Whether a thread waits, or waited, for it.
    public var isWaiting: Bool
    public var isOpen: Bool { finished == nil }
  }

  public struct Communicator: Sendable {
    public var id: UInt64
    public var name: String
    /// Ranks of the job.
    public var members: [Int]
    /// The last ones, oldest first.
    public var operations: [Operation]
  }

  public struct Ending: Sendable {
    public var kind: BlackBox.Ending
    public var exitCode: Int32
    public var sentence: String
  }

  public var rank: Int
  public var ranks: Int
  public var host: String
  /// Equal where process ids mean the same.
  public var place: UInt64
  public var pid: Int32
  public var processStart: UInt64
  public var attempt: Int64
  public var lastBeat: Double
  public var phase: BlackBox.Phase
  public var step: Int
  /// When phase or step last changed.
  public var progressed: Double
  /// What a step usually takes and may take, seconds; 0 while that is not known.
  public var usualSeconds: Double
  public var limitSeconds: Double
  /// The signal that asked the process to save and end, if any did: SIGTERM for good, or another.
  public var signal: Int32?
  public var ending: Ending?
  public var communicators: [Communicator]

  /// The last moment at which the process is known to have done anything.
  public var lastSign: Double {
    let operations = communicators.flatMap(\.operations).map { $0.finished ?? $0.began }
    return max(lastBeat, progressed, operations.max() ?? 0)
  }
}

// MARK: Reading

extension BlackBoxRecord {
  /// The records of the newest attempt of a run, by rank.
  ///
  /// - Parameter folder: `RunDirectory.blackBoxes`.
  /// - Throws: `ForgeError.badInput` when there are none.
  public static func newest(in folder: String) throws -> [BlackBoxRecord] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let all = names.filter { $0.hasPrefix("rank-") && !$0.hasSuffix(".partial") }.compactMap {
      BlackBoxRecord(path: folder + "/" + $0)
    }
    guard let attempt = all.map(\.attempt).max() else {
      throw ForgeError.badInput("'\(folder)' holds no black box; name the directory of a run that has started")
    }
    return all.filter { $0.attempt == attempt }.sorted { $0.rank < $1.rank }
  }

  /// Reads a record, while its rank may write to it; nil when the file is none.
  init?(path: String) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0, Int(status.st_size) >= BlackBoxHeader.size,
      let memory = mmap(nil, Int(status.st_size), PROT_READ, MAP_SHARED, file, 0), memory != MAP_FAILED
    else { return nil }
    defer { munmap(memory, Int(status.st_size)) }
    let view = BlackBoxView(base: UnsafeRawPointer(memory))
    guard view.load(BlackBoxHeader.magicOffset) == BlackBoxHeader.magic,
      view.load(BlackBoxHeader.versionOffset) == BlackBoxHeader.version
    else { return nil }
    rank = Int(view.load(BlackBoxHeader.rank, as: UInt32.self))
    let ranks = Int(view.load(BlackBoxHeader.ranks, as: UInt32.self))
    self.ranks = ranks
    let slotSize = BlackBoxSlot.size(ranks: ranks)
    guard Int(status.st_size) >= BlackBoxHeader.size + BlackBoxSlot.count * slotSize else { return nil }
    host = view.text(BlackBoxHeader.host, room: BlackBoxHeader.hostSize)
    place = view.load(BlackBoxHeader.place)
    pid = view.load(BlackBoxHeader.pid)
    processStart = view.load(BlackBoxHeader.processStart)
    attempt = view.load(BlackBoxHeader.attempt)
    lastBeat = view.time(BlackBoxHeader.beatTime)
    let progress: UInt64 = view.load(BlackBoxHeader.progress)
    phase = BlackBox.Phase(rawValue: UInt8(progress >> 56)) ?? .starting
    step = Int(progress & (1 << 56 - 1))
    progressed = view.time(BlackBoxHeader.progressTime)
    usualSeconds = view.time(BlackBoxHeader.usualNanoseconds)
    limitSeconds = view.time(BlackBoxHeader.limitNanoseconds)
    let signal: Int32 = view.load(BlackBoxHeader.signal)
    self.signal = signal == 0 ? nil : signal
    ending = BlackBox.Ending(rawValue: view.load(BlackBoxHeader.ending)).map {
      Ending(
        kind: $0, exitCode: view.load(BlackBoxHeader.exitCode),
        sentence: view.text(BlackBoxHeader.sentence, room: BlackBoxHeader.sentenceSize))
    }
    communicators = (0..<BlackBoxSlot.count).compactMap { index in
      let slot = BlackBoxView(base: view.base + BlackBoxHeader.size + index * slotSize)
      guard slot.load(BlackBoxSlot.state, as: UInt32.self) == 2 else { return nil }
      return Communicator(
        id: slot.load(BlackBoxSlot.id), name: slot.text(BlackBoxSlot.name, room: BlackBoxSlot.nameSize),
        members: (0..<ranks).filter {
          slot.load(BlackBoxSlot.members + $0 / 8, as: UInt8.self) & 1 << UInt8($0 % 8) != 0
        },
        operations: (0..<BlackBoxSlot.operations).compactMap {
          slot.operation(at: BlackBoxSlot.ring + $0 * BlackBoxOperation.size)
        }.sorted { $0.sequence < $1.sequence })
    }
  }
}

/// Typed reads of memory that another process writes.
private struct BlackBoxView {
  let base: UnsafeRawPointer

  func load<Value: BitwiseCopyable>(_ offset: Int, as type: Value.Type = Value.self) -> Value {
    base.load(fromByteOffset: offset, as: Value.self)
  }

  func time(_ offset: Int) -> Double { Double(load(offset, as: UInt64.self)) / 1e9 }

  func text(_ offset: Int, room: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: base + offset, count: room).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The entry, or nil where there is none or it is being written.
  func operation(at offset: Int) -> BlackBoxRecord.Operation? {
    let entry = BlackBoxView(base: base + offset)
    let sequence: UInt64 = entry.load(BlackBoxOperation.sequence)
    guard sequence != 0 else { return nil }
    atomicMemoryFence(ordering: .acquiring)
    let finished = entry.time(BlackBoxOperation.finished)
    let operation = BlackBoxRecord.Operation(
      sequence: sequence, name: entry.text(BlackBoxOperation.name, room: BlackBoxOperation.nameSize),
      bytes: Int(entry.load(BlackBoxOperation.bytes, as: Int64.self)),
      site: "\(entry.text(BlackBoxOperation.file, room: BlackBoxOperation.fileSize)):"
        + "\(entry.load(BlackBoxOperation.line, as: UInt32.self))",
      began: entry.time(BlackBoxOperation.began), finished: finished == 0 ? nil : finished,
      isWaiting: entry.load(BlackBoxOperation.isWaiting, as: UInt32.self) != 0)
    atomicMemoryFence(ordering: .acquiring)
    return entry.load(BlackBoxOperation.sequence) == sequence ? operation : nil
  }
}
