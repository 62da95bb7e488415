import Foundation
import Support

/// The lease of a run directory: the exclusive right of one job to write there, with an epoch that increases at every
/// takeover.
///
/// Rank 0 locks the file `.lock` while its process lives, touches it every second (heartbeat), and records its epoch
/// and a unique name in it. A job that finds the lock free, or the heartbeat missing for ``timeout`` seconds (the
/// holder is stopped, partitioned, or its machine is lost), takes over; so does the next start of the same Slurm job,
/// without waiting. A process of the former holder that resumes finds another name in the file before it changes
/// anything, and ends.
public final class RunLease: Sendable {
  /// The contents of the file.
  public struct Record: Codable, Equatable, Sendable {
    public var epoch = 0
    /// Unique to the job that holds the lease.
    public var holder = ""
    public var host = ""
    /// The Slurm job, and the number of its restart (see ``StartEnvironment``); empty and 0 outside Slurm.
    public var job = ""
    public var attempt = 0
    /// Consecutive automatic restarts without a newer checkpoint, and the step of that checkpoint.
    public var restarts = 0
    public var checkpoint = 0
    /// Whether the holder ended cleanly.
    public var isReleased = false
    /// The name of the node-local checkpoints' folders. It is passed on from job to job, but not by a job without
    /// node-local checkpoints, since those of the jobs before may then be obsolete.
    public var run: String?
    /// The total steps of the run; nil in leases of earlier versions.
    public var steps: Int?
  }

  /// Seconds without a heartbeat after which a lease has expired.
  public static let timeout = 15.0
  private static let heartbeatInterval = 1.0
  /// The max automatic restarts without a new checkpoint.
  static let maxRestarts = 3

  private let path: String
  public let record: Record
  private let descriptor: Int32

  private init(path: String, record: Record, descriptor: Int32) throws(ForgeError) {
    self.path = path
    self.record = record
    self.descriptor = descriptor
    guard descriptor >= 0 else { return }
    try SystemThread.start(name: "lease") { [weak self] in
      while self?.touch() != nil { Thread.sleep(forTimeInterval: Self.heartbeatInterval) }
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private func touch() { futimens(descriptor, nil) }

  /// Acquires the lease; rank 0 only.
  ///
  /// - Parameters:
  ///   - checkpoint: the newest checkpoint's step, 0 when there is none.
  ///   - steps: the total steps of the run.
  ///   - keepsCopies: whether this job keeps node-local checkpoints.
  ///   - log: called when the job has to wait before it may take over.
  /// - Throws: `ForgeError.badInput` when another job holds it, or after too many restarts without progress.
  public static func acquire(
    path: String, start: StartEnvironment, checkpoint: Int, steps: Int? = nil, keepsCopies: Bool = false,
    log: (String) -> Void
  ) throws -> RunLease {
    let directory = path.parentFolder
    let (descriptor, isFree) = try lock(path)
    defer { close(descriptor) }
    let former = read(path) ?? Record()
    // Some file systems lock within one machine only.
    let isSuspect = !isFree || (!former.isReleased && former.epoch > 0 && former.host != ProcessTable.hostName)
    if isSuspect, !start.isNextAttempt(after: former) {
      guard isSilent(path, former: former, log: log) else {
        throw ForgeError.badInput(
          "another job is writing to the run directory '\(directory)' (on \(former.host))",
          hint: "wait for it or choose another", code: .runInUse
        )
      }
    }
    var record = Record(
      epoch: former.epoch + 1, holder: UUID().uuidString, host: ProcessTable.hostName, job: start.job,
      attempt: start.attempt, checkpoint: checkpoint, run: keepsCopies ? former.run ?? UUID().uuidString : nil,
      steps: steps)
    if start.attempt > 0, !former.isReleased, former.epoch > 0, former.checkpoint == checkpoint {
      record.restarts = former.restarts + 1
    }
    guard record.restarts <= maxRestarts else {
      throw ForgeError.badInput(
        "the run in '\(directory)' was restarted \(maxRestarts) times after step \(checkpoint) without saving a newer "
          + "checkpoint, and is not restarted again",
        hint: "see train.log and `forge why \(directory)`, then start it by hand", code: .restartsExhausted)
    }
    // A new file, so that no reader sees half a record. A holder that is only silent keeps the lock on the old file,
    // which is no longer the lease.
    let held: Int32
    do { held = try replace(path, record) } catch {
      // A full disk has no space for another file, but the old one can be overwritten: restarts must be counted.
      guard isFree, overwrite(descriptor, with: record) else { throw error }
      held = dup(descriptor)
    }
    let lease = try RunLease(path: path, record: record, descriptor: held)
    if !isFree { usleep(100_000) }  // of two simultaneous takeovers, the later one wins
    try lease.check()
    return lease
  }

  /// Opens the file, and locks it if it is not locked.
  private static func lock(_ path: String) throws -> (descriptor: Int32, isFree: Bool) {
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
      guard descriptor >= 0 else {
        throw ForgeError.badInput(
          "cannot write to the run directory '\(path.parentFolder)': "
            + String(cString: strerror(errno)), code: .system(errno, else: .writeFailed))
      }
      // On a file system without locks (ENOSYS, ENOLCK) only the record and the holder's heartbeat count.
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else { return (descriptor, false) }
      var (mine, present) = (stat(), stat())
      if fstat(descriptor, &mine) == 0, stat(path, &present) == 0, mine.st_ino == present.st_ino {
        return (descriptor, true)
      }
      close(descriptor)  // another job replaced it meanwhile
    }
  }

  private static func overwrite(_ descriptor: Int32, with record: Record) -> Bool {
    guard let bytes = try? JSONEncoder().encode(record) else { return false }
    let isWritten = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) == $0.count }
    return isWritten && ftruncate(descriptor, off_t(bytes.count)) == 0 && fsync(descriptor) == 0
  }

  /// Atomically replaces the file by a new one, which is locked.
  private static func replace(_ path: String, _ record: Record) throws -> Int32 {
    let replacement = "\(path).\(record.holder)"
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let bytes = Array(try encoder.encode(record)) + [UInt8(ascii: "\n")]
    let descriptor = open(replacement, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw systemError("create", replacement) }
    _ = flock(descriptor, LOCK_EX | LOCK_NB)
    guard bytes.withUnsafeBytes({ Foundation.write(descriptor, $0.baseAddress, $0.count) }) == bytes.count,
      fsync(descriptor) == 0, rename(replacement, path) == 0
    else {
      let error = systemError("write", path)
      close(descriptor)
      unlink(replacement)
      throw error
    }
    return descriptor
  }

  /// The lease that rank 0 has acquired, for the other ranks.
  public static func joined(path: String, record: Record) throws(ForgeError) -> RunLease {
    try RunLease(path: path, record: record, descriptor: -1)
  }

  /// Checks that this job still holds the lease, before every change (fencing).
  ///
  /// - Throws: `ForgeError.badInput` when another job has taken over.
  @Sendable public func check() throws {
    guard let now = Self.read(path) else { throw systemError("read", path) }
    guard now.holder == record.holder else {
      throw ForgeError.badInput(
        "another job has taken over '\(path.parentFolder)' (epoch \(now.epoch), on "
          + "\(now.host)); this one (epoch \(record.epoch)) writes nothing more and ends", code: .runInUse)
    }
  }

  /// Releases the lease, which records that this job ended cleanly.
  public func release() throws {
    guard descriptor >= 0 else { return }
    try check()
    var record = record
    record.isReleased = true
    close(try Self.replace(path, record))
  }

  /// Whether the holder gives no heartbeat for `timeout` seconds.
  private static func isSilent(_ path: String, former: Record, log: (String) -> Void) -> Bool {
    func touched() -> timespec? {
      // Opened anew each time, so that a network file system asks its server.
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      defer { if descriptor >= 0 { close(descriptor) } }
      var status = stat()
      return descriptor >= 0 && fstat(descriptor, &status) == 0 ? status.st_mtim : nil
    }
    let before = touched()
    var isLogged = false
    for waited in stride(from: 0, to: timeout, by: 0.25) {
      usleep(250_000)
      guard let now = touched(), let before, now.tv_sec == before.tv_sec, now.tv_nsec == before.tv_nsec else {
        return false
      }
      if waited > 3 * heartbeatInterval, !isLogged {
        isLogged = true
        log("the job on \(former.host) that holds the run directory is silent; waiting \(Int(timeout)) s to be sure")
      }
    }
    return true
  }

  // MARK: The file

  /// Reads a lease; nil when there is no valid one.
  public static func read(_ path: String) -> Record? {
    guard let contents = FileManager.default.contents(atPath: path), !contents.isEmpty else { return nil }
    return try? JSONDecoder().decode(Record.self, from: contents)
  }

  /// Whether the last heartbeat, the file's modification time, is within the timeout.
  ///
  /// - Parameters:
  ///   - touched, now: seconds since 1970.
  public static func isFresh(touched: Double, now: Double) -> Bool { abs(now - touched) < timeout }
}
