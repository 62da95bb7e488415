import Foundation
import Support
import Synchronization

/// The flight recorder of a rank: a memory-mapped record of its progress and its last collectives, which survives the
/// process, however it ends.
///
/// The kernel owns the pages: what was stored before a SIGKILL is in the file. Recording an operation allocates nothing
/// and makes no system call. A ring is written by the one thread that uses its communicator at that time; everything
/// else is single stores of aligned words, and a text that is stored before the word that publishes it. A reader in
/// another process accepts an entry only when its sequence number was the same before and after.
public struct FlightRecorder: Sendable {
  /// The phase of a rank, beside the step's number.
  public enum Phase: UInt8, Sendable, CaseIterable {
    case starting, restoring, training, validation, checkpoint, ending, recording
  }

  /// The recorded end of a process.
  public enum Ending: UInt32, Sendable {
    /// It ended by itself, with an exit code.
    case normal = 1
    /// It ended with an error of its own.
    case failure = 2
    /// It ended because of other ranks.
    case consequence = 3
  }

  // The shared memory; the rules of writing are above.
  nonisolated(unsafe) private let base: UnsafeMutableRawPointer
  private let size: Int
  private let slotSize: Int

  static func path(folder: String, rank: Int) -> String { folder + String(format: "/rank-%05d", rank) }

  /// Creates the record of a rank. It replaces that of an earlier attempt; a process that still has the old one mapped
  /// writes to an unlinked file.
  ///
  /// - Parameters:
  ///   - folder: created when it is missing.
  ///   - attempt: the number of this start of the run, equal on all ranks and larger than that of any earlier start.
  /// - Throws: `ForgeError.tryAgain` when the file cannot be created.
  public init(folder: String, rank: Int, ranks: Int, attempt: Int64) throws {
    let path = Self.path(folder: folder, rank: rank)
    func failure(_ code: Int32) -> ForgeError {
      .tryAgain(
        "cannot make the black box '\(path)': \(String(cString: strerror(code)))",
        code: .system(code, else: .writeFailed))
    }
    guard mkdir(folder, 0o777) == 0 || errno == EEXIST else { throw failure(errno) }
    let partial = path + ".partial"
    let file = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw failure(errno) }
    defer { close(file) }
    slotSize = FlightRecordSlot.size(ranks: ranks)
    size = FlightRecordHeader.size + FlightRecordSlot.count * slotSize
    // Allocates the blocks now: on a full disk, a hole in the file would raise SIGBUS.
    let code = posix_fallocate(file, 0, off_t(size))
    let memory = code == 0 ? mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED
    guard let memory, memory != MAP_FAILED else {
      let reason = code == 0 ? errno : code
      unlink(partial)
      throw failure(reason)
    }
    base = memory
    let pid = getpid()
    store(UInt32(rank), FlightRecordHeader.rank)
    store(UInt32(ranks), FlightRecordHeader.ranks)
    store(UInt32(bitPattern: pid), FlightRecordHeader.pid)
    store(ProcessTable.start(of: pid) ?? 0, FlightRecordHeader.processStart)
    store(attempt, FlightRecordHeader.attempt)
    store(ProcessTable.place, FlightRecordHeader.place)
    write(ProcessTable.hostName, at: FlightRecordHeader.host, room: FlightRecordHeader.hostSize)
    store(FlightRecordHeader.version, FlightRecordHeader.versionOffset)
    enter(.starting, step: 0)
    beat()
    atomic(FlightRecordHeader.magicOffset).pointee.store(FlightRecordHeader.magic, ordering: .releasing)
    guard rename(partial, path) == 0 else {
      let reason = errno
      munmap(memory, size)
      unlink(partial)
      throw failure(reason)
    }
  }

  // MARK: The recorder of this process

  private static let installedBox = Mutex<FlightRecorder?>(nil)
  // Its address, so that an operation costs one load when there is none.
  private static let installedBase = Atomic<UInt>(0)

  /// The recorder of this process; nil when there is none.
  public static var installed: FlightRecorder? {
    installedBase.load(ordering: .relaxed) == 0 ? nil : installedBox.withLock { $0 }
  }

  /// Whether operations are recorded.
  @inline(__always) public static var isInstalled: Bool { installedBase.load(ordering: .relaxed) != 0 }

  /// Installs `box` as the recorder of this process; nil stops recording.
  public static func install(_ box: FlightRecorder?) {
    installedBox.withLock { $0 = box }
    installedBase.store(box.map { UInt(bitPattern: $0.base) } ?? 0, ordering: .releasing)
  }

  /// Records a signal that the process received, as launchers send before SIGKILL. Async-signal-safe.
  public static func noteSignal(_ signal: Int32) {
    guard let base = UnsafeMutableRawPointer(bitPattern: installedBase.load(ordering: .acquiring)),
      base.load(fromByteOffset: FlightRecordHeader.signal, as: UInt32.self) != UInt32(SIGTERM)
    else { return }
    base.storeBytes(of: clockNanoseconds(), toByteOffset: FlightRecordHeader.signalTime, as: UInt64.self)
    base.storeBytes(of: UInt32(bitPattern: signal), toByteOffset: FlightRecordHeader.signal, as: UInt32.self)
  }

  // MARK: Progress

  /// Records the phase and step that the rank enters.
  public func enter(_ phase: Phase, step: Int) {
    store(clockNanoseconds(), FlightRecordHeader.progressTime)
    atomic(FlightRecordHeader.progress).pointee.store(
      UInt64(phase.rawValue) << 56 | UInt64(step) & (1 << 56 - 1), ordering: .releasing)
  }

  /// Records a heartbeat, from a thread of its own.
  public func beat() {
    atomic(FlightRecordHeader.beats).pointee.add(1, ordering: .relaxed)
    atomic(FlightRecordHeader.beatTime).pointee.store(clockNanoseconds(), ordering: .relaxed)
  }

  /// Records the usual duration and the timeout of a step, seconds.
  public func setExpectation(usual: Double, limit: Double) {
    store(UInt64(max(0, usual) * 1e9), FlightRecordHeader.usualNanoseconds)
    store(UInt64(min(1e9, max(0, limit)) * 1e9), FlightRecordHeader.limitNanoseconds)
  }

  /// Records how and why the process ends; only the first call has an effect.
  public func end(_ ending: Ending, exitCode: Int32, sentence: String = "") {
    guard base.load(fromByteOffset: FlightRecordHeader.ending, as: UInt32.self) == 0 else { return }
    write(sentence, at: FlightRecordHeader.sentence, room: FlightRecordHeader.sentenceSize)
    store(exitCode, FlightRecordHeader.exitCode)
    atomicMemoryFence(ordering: .releasing)
    store(ending.rawValue, FlightRecordHeader.ending)
    beat()
  }

  /// Syncs the record to disk, where other nodes can read it; the record survives the process without it. May wait for
  /// the disk.
  public func synchronize() { msync(base, size, MS_SYNC) }

  // MARK: Operations

  /// The ring buffer of one communicator's operations.
  public struct Ring: Sendable {
    nonisolated(unsafe) fileprivate let slot: UnsafeMutableRawPointer

    fileprivate init(slot: UnsafeMutableRawPointer) { self.slot = slot }

    /// The ring as a number, which fits an atomic variable.
    public var address: UInt { UInt(bitPattern: slot) }
    /// - Parameter address: of a ring that was not released.
    public init?(address: UInt) {
      guard let slot = UnsafeMutableRawPointer(bitPattern: address) else { return nil }
      self.slot = slot
    }

    /// Records the start of an operation on this rank.
    ///
    /// - Parameters:
    ///   - sequence: its number in the communicator, from 1, the same on every rank.
    ///   - bytes: that this rank contributes.
    ///   - waits: whether a thread waits for the operation from now on.
    public func enter(
      _ operation: StaticString, sequence: UInt64, bytes: Int, file: StaticString, line: UInt32, waits: Bool
    ) -> Entry {
      let index = Int(sequence % UInt64(FlightRecordSlot.operations))
      let entry = slot + FlightRecordSlot.ring + index * FlightRecordOperation.size
      let published = (entry + FlightRecordOperation.sequence).assumingMemoryBound(to: Atomic<UInt64>.self)
      published.pointee.store(0, ordering: .relaxed)
      atomicMemoryFence(ordering: .releasing)
      entry.storeBytes(of: Int64(bytes), toByteOffset: FlightRecordOperation.bytes, as: Int64.self)
      entry.storeBytes(of: clockNanoseconds(), toByteOffset: FlightRecordOperation.began, as: UInt64.self)
      entry.storeBytes(of: 0, toByteOffset: FlightRecordOperation.finished, as: UInt64.self)
      entry.storeBytes(of: waits ? 1 : 0, toByteOffset: FlightRecordOperation.isWaiting, as: UInt32.self)
      entry.storeBytes(of: line, toByteOffset: FlightRecordOperation.line, as: UInt32.self)
      Self.copy(operation, to: entry + FlightRecordOperation.name, room: FlightRecordOperation.nameSize)
      Self.copy(file, to: entry + FlightRecordOperation.file, room: FlightRecordOperation.fileSize)
      published.pointee.store(sequence, ordering: .releasing)
      return Entry(entry: entry, sequence: sequence)
    }

    private static func copy(_ text: StaticString, to memory: UnsafeMutableRawPointer, room: Int) {
      let count = min(text.utf8CodeUnitCount, room)
      memory.copyMemory(from: text.utf8Start, byteCount: count)
      if count < room { memory.storeBytes(of: 0, toByteOffset: count, as: UInt8.self) }
    }

    /// Releases the slot of a freed communicator.
    public func release() { state.pointee.store(0, ordering: .releasing) }

    fileprivate var state: UnsafeMutablePointer<Atomic<UInt32>> {
      (slot + FlightRecordSlot.state).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
  }

  /// The entry of an operation that has started.
  public struct Entry {
    fileprivate let entry: UnsafeMutableRawPointer
    fileprivate let sequence: UInt64

    // The ring may have wrapped around and overwritten the entry.
    private var isMine: Bool { entry.load(fromByteOffset: FlightRecordOperation.sequence, as: UInt64.self) == sequence }

    /// Records that a thread waits for the operation from now on.
    public func wait() {
      if isMine { entry.storeBytes(of: 1, toByteOffset: FlightRecordOperation.isWaiting, as: UInt32.self) }
    }

    /// Records that the operation is complete on this rank.
    public func finish() {
      if isMine {
        entry.storeBytes(of: clockNanoseconds(), toByteOffset: FlightRecordOperation.finished, as: UInt64.self)
      }
    }
  }

  /// Claims a ring for a communicator; nil when all slots are in use.
  ///
  /// - Parameters:
  ///   - id: unique to the communicator, and the same on all its ranks.
  ///   - members: the ranks of the job that belong to it.
  public func claim(id: UInt64, name: String, members: [Int]) -> Ring? {
    for index in 0..<FlightRecordSlot.count {
      let offset = FlightRecordHeader.size + index * slotSize
      let slot = base + offset
      let ring = Ring(slot: slot)
      guard ring.state.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiringAndReleasing).exchanged
      else {
        continue
      }
      memset(slot + FlightRecordSlot.ring, 0, slotSize - FlightRecordSlot.ring)
      slot.storeBytes(of: id, toByteOffset: FlightRecordSlot.id, as: UInt64.self)
      write(name, at: offset + FlightRecordSlot.name, room: FlightRecordSlot.nameSize)
      for member in members {
        let byte = FlightRecordSlot.members + member / 8
        let bits = slot.load(fromByteOffset: byte, as: UInt8.self)
        slot.storeBytes(of: bits | 1 << UInt8(member % 8), toByteOffset: byte, as: UInt8.self)
      }
      ring.state.pointee.store(2, ordering: .releasing)
      return ring
    }
    return nil
  }

  // MARK: Memory

  private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  private func store<Value: BitwiseCopyable>(_ value: Value, _ offset: Int) {
    base.storeBytes(of: value, toByteOffset: offset, as: Value.self)
  }

  private func write(_ text: String, at offset: Int, room: Int) {
    memset(base + offset, 0, room)
    for (index, byte) in text.utf8.prefix(room).enumerated() {
      base.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
    }
  }
}

/// Wall-clock time, nanoseconds since 1970: the clock that nodes share.
@inline(__always) func clockNanoseconds() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
}
