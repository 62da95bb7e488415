import Diagnostics
import Glibc

/// Writes scalars to an event file that TensorBoard shows.
///
/// The file is a sequence of TFRecords (length, its checksum, data, its checksum), each holding an `Event` message. It
/// is appended to while a run goes on; a run that is continued writes another file to the same folder.
public final class TensorBoardWriter {
  public let path: String
  private let descriptor: Int32
  private var pending: [UInt8] = []

  /// Starts a new file in a folder, which must exist. Throws `badInput` when it cannot be created.
  public init(directory: String) throws {
    // TensorBoard orders files by name and looks for "tfevents" in it.
    let unique = "\(Int(Self.now)).\(ProcessTable.hostName).\(getpid())"
    let (path, descriptor) = Self.create(directory + "/events.out.tfevents." + unique)
    guard descriptor >= 0 else { throw ForgeError.badInput("cannot write '\(path)': \(systemMessage())") }
    self.path = path
    self.descriptor = descriptor
    var event = ProtocolBuffer()
    event.append(Self.now, field: EventField.wallTime)
    event.append("brain.Event:2", field: EventField.fileVersion)
    appendRecord(event.bytes)
    try flush()
  }

  deinit {
    try? flush()
    close(descriptor)
  }

  /// Adds one point of the curve `tag`; it reaches the file with the next `flush`. `wallTime` is in seconds since 1970,
  /// now when not given.
  public func add(scalar value: Float, tag: String, step: Int, wallTime: Double? = nil) {
    var scalar = ProtocolBuffer()
    scalar.append(tag, field: ValueField.tag)
    scalar.append(value, field: ValueField.simpleValue)
    var summary = ProtocolBuffer()
    summary.append(scalar, field: SummaryField.value)
    var event = ProtocolBuffer()
    event.append(wallTime ?? Self.now, field: EventField.wallTime)
    event.append(step, field: EventField.step)
    event.append(summary, field: EventField.summary)
    appendRecord(event.bytes)
  }

  /// Hands everything added to the system. Throws `tryAgain` when the disk is full or fails.
  public func flush() throws {
    while !pending.isEmpty {
      let written = write(descriptor, pending, pending.count)
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw ForgeError.tryAgain("writing '\(path)' failed: \(systemMessage())") }
      pending.removeFirst(written)
    }
  }

  /// Forgets what was added since the last `flush`, for a writer that may write no more.
  public func abandon() { pending.removeAll() }

  /// Creates a file that does not exist yet, numbered when two writers start in the same second.
  private static func create(_ name: String) -> (path: String, descriptor: Int32) {
    var number = 0
    while true {
      let path = "\(name).\(number)"
      let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o666)
      guard descriptor < 0, errno == EEXIST else { return (path, descriptor) }
      number += 1
    }
  }

  private func appendRecord(_ data: [UInt8]) {
    let length = withUnsafeBytes(of: UInt64(data.count).littleEndian) { Array($0) }
    for part in [length, data] {
      pending += part
      withUnsafeBytes(of: CRC32C.maskedChecksum(part).littleEndian) { pending.append(contentsOf: $0) }
    }
  }

  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

// MARK: - Field numbers of tensorboard/compat/proto/event.proto and summary.proto

private enum EventField {
  static let wallTime = 1
  static let step = 2
  static let fileVersion = 3
  static let summary = 5
}

private enum SummaryField {
  static let value = 1
}

private enum ValueField {
  static let tag = 1
  static let simpleValue = 2
}
