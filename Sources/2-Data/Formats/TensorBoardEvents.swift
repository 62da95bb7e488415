/// The records of a TensorBoard event file: the file header, session starts and scalars.
///
/// A file is a sequence of TFRecords (length, its checksum, data, its checksum), each holding an `Event` message.
public enum TensorBoardEvents {
  /// The prefix of event files' names.
  public static let filePrefix = "events.out.tfevents."

  /// The first record of a file: the format's version, and the program that writes it.
  public static func header(writer: String, wallTime: Double) -> [UInt8] {
    record(wallTime) {
      var source = ProtocolBuffer()
      source.append(writer, field: SourceField.writer)
      $0.append("brain.Event:2", field: EventField.fileVersion)
      $0.append(source, field: EventField.sourceMetadata)
    }
  }

  /// A session start: steps from `step` on are written (again), and readers drop those of older files.
  public static func sessionStart(step: Int, wallTime: Double) -> [UInt8] {
    record(wallTime) {
      var session = ProtocolBuffer()
      session.append(SessionField.start, field: SessionField.status)
      $0.append(step, field: EventField.step)
      $0.append(session, field: EventField.sessionLog)
    }
  }

  /// A scalar: one point of the curve `tag`. `wallTime` is in seconds since 1970.
  public static func scalar(_ value: Float, tag: String, step: Int, wallTime: Double) -> [UInt8] {
    record(wallTime) {
      var scalar = ProtocolBuffer()
      scalar.append(tag, field: ValueField.tag)
      scalar.append(value, field: ValueField.simpleValue)
      var summary = ProtocolBuffer()
      summary.append(scalar, field: SummaryField.value)
      $0.append(step, field: EventField.step)
      $0.append(summary, field: EventField.summary)
    }
  }

  private static func record(_ wallTime: Double, _ fill: (inout ProtocolBuffer) -> Void) -> [UInt8] {
    var event = ProtocolBuffer()
    event.append(wallTime, field: EventField.wallTime)
    fill(&event)
    let length = withUnsafeBytes(of: UInt64(event.bytes.count).littleEndian) { Array($0) }
    return [length, event.bytes].flatMap { part in
      part + withUnsafeBytes(of: CRC32C.maskedChecksum(part).littleEndian) { Array($0) }
    }
  }

  /// How much of a file is kept when a run resumes after a step.
  public struct Kept: Equatable {
    /// Bytes of the complete records before the first of a later step.
    public var bytes: Int
    /// Whether a scalar is among them.
    public var hasScalars: Bool
  }

  /// Finds the first record of a later step, or the first that is truncated or damaged, at which readers stop.
  ///
  /// - Parameters:
  ///   - contents: of a file, in which steps ascend.
  ///   - writer: the program that must have written it.
  /// - Returns: nil for a file that another program has written, or that is no event file.
  public static func kept(of contents: UnsafeRawBufferPointer, writer: String, through step: Int) -> Kept? {
    var kept: Kept?
    var place = 0
    while let data = record(contents, at: place) {
      var event = ProtocolBufferReader(data)
      var eventStep: Int?
      var isScalar = false
      var source: String?
      while let field = event.next() {
        switch field.number {
        case EventField.step: eventStep = field.integer
        case EventField.summary: isScalar = true
        case EventField.sourceMetadata: source = field.bytes.flatMap(Self.writer)
        default: break
        }
      }
      if kept == nil, source != writer { return nil }
      if let eventStep, eventStep > step { break }
      place += data.count + 16
      kept = Kept(bytes: place, hasScalars: (kept?.hasScalars ?? false) || isScalar)
    }
    return kept
  }

  private static func writer(_ source: UnsafeRawBufferPointer) -> String? {
    var reader = ProtocolBufferReader(source)
    while let field = reader.next() {
      if field.number == SourceField.writer, let bytes = field.bytes { return String(decoding: bytes, as: UTF8.self) }
    }
    return nil
  }

  /// The data of the record that begins at `place`; nil when it is incomplete or damaged.
  private static func record(_ contents: UnsafeRawBufferPointer, at place: Int) -> UnsafeRawBufferPointer? {
    func checksum(_ range: Range<Int>) -> Bool {
      contents.loadUnaligned(fromByteOffset: range.upperBound, as: UInt32.self).littleEndian
        == CRC32C.maskedChecksum(contents[range])
    }
    guard place + 16 <= contents.count, checksum(place..<place + 8) else { return nil }
    let length = contents.loadUnaligned(fromByteOffset: place, as: UInt64.self).littleEndian
    guard length <= UInt64(contents.count - place - 16) else { return nil }
    let data = place + 12..<place + 12 + Int(length)
    return checksum(data) ? UnsafeRawBufferPointer(rebasing: contents[data]) : nil
  }
}

// MARK: - Field numbers of tensorboard/compat/proto/event.proto and summary.proto

private enum EventField {
  static let wallTime = 1
  static let step = 2
  static let fileVersion = 3
  static let summary = 5
  static let sessionLog = 7
  static let sourceMetadata = 10
}

private enum SummaryField {
  static let value = 1
}

private enum ValueField {
  static let tag = 1
  static let simpleValue = 2
}

private enum SessionField {
  static let status = 1
  static let start = 1
}

private enum SourceField {
  static let writer = 1
}
