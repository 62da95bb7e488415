import Foundation
import Support
import Synchronization

/// A snapshot of a rank's flight recorder (its black box). Times are seconds since 1970.
public struct FlightRecord: Sendable {
  public struct Operation: Sendable, Equatable {
    /// The number in its communicator, from 1.
    public var sequence: UInt64
    /// Its MPI name.
    public var name: String
    /// Bytes that this rank contributes.
    public var bytes: Int
    /// File and line of the call.
    public var site: String
    public var began: Double
    /// nil until the operation is complete on this rank.
    public var finished: Double?
    /// Whether a thread waits, or waited, for the operation.
    public var isWaiting: Bool
    public var isOpen: Bool { finished == nil }
  }

  public struct Communicator: Sendable {
    public var id: UInt64
    public var name: String
    /// Ranks of the job.
    public var members: [Int]
    /// The most recent operations, oldest first.
    public var operations: [Operation]
  }

  public struct Ending: Sendable {
    public var kind: FlightRecorder.Ending
    public var exitCode: Int32
    public var sentence: String
  }

  public var rank: Int
  public var ranks: Int
  public var host: String
  /// `ProcessTable.place`: equal where process ids are of one namespace.
  public var place: UInt64
  public var pid: Int32
  public var processStart: UInt64
  public var attempt: Int64
  public var lastBeat: Double
  public var phase: FlightRecorder.Phase
  public var step: Int
  /// When phase or step last changed.
  public var progressed: Double
  /// The usual duration and the timeout of a step, seconds; 0 while unknown.
  public var usualSeconds: Double
  public var limitSeconds: Double
  /// The stop signal that the process received, if any; SIGTERM is not overwritten by later ones.
  public var signal: Int32?
  public var ending: Ending?
  public var communicators: [Communicator]

  /// The time of the last sign of life: a heartbeat, progress or an operation.
  public var lastSign: Double {
    let operations = communicators.flatMap(\.operations).map { $0.finished ?? $0.began }
    return max(lastBeat, progressed, operations.max() ?? 0)
  }
}

// MARK: Reading

extension FlightRecord {
  /// The records of the newest attempt of a run, by rank.
  ///
  /// - Parameter folder: `RunDirectory.blackBoxes`.
  /// - Throws: `ForgeError.badInput` when there are none.
  public static func newest(in folder: String) throws -> [FlightRecord] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let all = names.filter { $0.hasPrefix("rank-") && !$0.hasSuffix(".partial") }.compactMap {
      FlightRecord(path: folder + "/" + $0)
    }
    guard let attempt = all.map(\.attempt).max() else {
      throw ForgeError.badInput(
        "'\(folder)' holds no black box", hint: "name the directory of a run that has started", code: .wrongKind)
    }
    return all.filter { $0.attempt == attempt }.sorted { $0.rank < $1.rank }
  }

  /// Reads a record that its rank may be writing to; nil when the file is not a record.
  init?(path: String) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0, Int(status.st_size) >= FlightRecordHeader.size,
      let memory = mmap(nil, Int(status.st_size), PROT_READ, MAP_SHARED, file, 0), memory != MAP_FAILED
    else { return nil }
    defer { munmap(memory, Int(status.st_size)) }
    let view = FlightRecordView(base: UnsafeRawPointer(memory))
    guard view.load(FlightRecordHeader.magicOffset) == FlightRecordHeader.magic,
      view.load(FlightRecordHeader.versionOffset) == FlightRecordHeader.version
    else { return nil }
    rank = Int(view.load(FlightRecordHeader.rank, as: UInt32.self))
    let ranks = Int(view.load(FlightRecordHeader.ranks, as: UInt32.self))
    self.ranks = ranks
    let slotSize = FlightRecordSlot.size(ranks: ranks)
    guard Int(status.st_size) >= FlightRecordHeader.size + FlightRecordSlot.count * slotSize else { return nil }
    host = view.text(FlightRecordHeader.host, room: FlightRecordHeader.hostSize)
    place = view.load(FlightRecordHeader.place)
    pid = view.load(FlightRecordHeader.pid)
    processStart = view.load(FlightRecordHeader.processStart)
    attempt = view.load(FlightRecordHeader.attempt)
    lastBeat = view.time(FlightRecordHeader.beatTime)
    let progress: UInt64 = view.load(FlightRecordHeader.progress)
    phase = FlightRecorder.Phase(rawValue: UInt8(progress >> 56)) ?? .starting
    step = Int(progress & (1 << 56 - 1))
    progressed = view.time(FlightRecordHeader.progressTime)
    usualSeconds = view.time(FlightRecordHeader.usualNanoseconds)
    limitSeconds = view.time(FlightRecordHeader.limitNanoseconds)
    let signal: Int32 = view.load(FlightRecordHeader.signal)
    self.signal = signal == 0 ? nil : signal
    ending = FlightRecorder.Ending(rawValue: view.load(FlightRecordHeader.ending)).map {
      Ending(
        kind: $0, exitCode: view.load(FlightRecordHeader.exitCode),
        sentence: view.text(FlightRecordHeader.sentence, room: FlightRecordHeader.sentenceSize))
    }
    communicators = (0..<FlightRecordSlot.count).compactMap { index in
      let slot = FlightRecordView(base: view.base + FlightRecordHeader.size + index * slotSize)
      guard slot.load(FlightRecordSlot.state, as: UInt32.self) == 2 else { return nil }
      return Communicator(
        id: slot.load(FlightRecordSlot.id), name: slot.text(FlightRecordSlot.name, room: FlightRecordSlot.nameSize),
        members: (0..<ranks).filter {
          slot.load(FlightRecordSlot.members + $0 / 8, as: UInt8.self) & 1 << UInt8($0 % 8) != 0
        },
        operations: (0..<FlightRecordSlot.operations).compactMap {
          slot.operation(at: FlightRecordSlot.ring + $0 * FlightRecordOperation.size)
        }.sorted { $0.sequence < $1.sequence })
    }
  }
}

/// A typed view of memory that another process writes.
private struct FlightRecordView {
  let base: UnsafeRawPointer

  func load<Value: BitwiseCopyable>(_ offset: Int, as type: Value.Type = Value.self) -> Value {
    base.load(fromByteOffset: offset, as: Value.self)
  }

  func time(_ offset: Int) -> Double { Double(load(offset, as: UInt64.self)) / 1e9 }

  func text(_ offset: Int, room: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: base + offset, count: room).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The entry; nil when it is empty or being written.
  func operation(at offset: Int) -> FlightRecord.Operation? {
    let entry = FlightRecordView(base: base + offset)
    let sequence: UInt64 = entry.load(FlightRecordOperation.sequence)
    guard sequence != 0 else { return nil }
    atomicMemoryFence(ordering: .acquiring)
    let finished = entry.time(FlightRecordOperation.finished)
    let operation = FlightRecord.Operation(
      sequence: sequence, name: entry.text(FlightRecordOperation.name, room: FlightRecordOperation.nameSize),
      bytes: Int(entry.load(FlightRecordOperation.bytes, as: Int64.self)),
      site: "\(entry.text(FlightRecordOperation.file, room: FlightRecordOperation.fileSize)):"
        + "\(entry.load(FlightRecordOperation.line, as: UInt32.self))",
      began: entry.time(FlightRecordOperation.began), finished: finished == 0 ? nil : finished,
      isWaiting: entry.load(FlightRecordOperation.isWaiting, as: UInt32.self) != 0)
    atomicMemoryFence(ordering: .acquiring)
    return entry.load(FlightRecordOperation.sequence) == sequence ? operation : nil
  }
}
