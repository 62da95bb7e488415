/// The records of an event file that TensorBoard shows: scalars of a step, and what a file begins with.
///
/// A file is a sequence of TFRecords (length, its checksum, data, its checksum), each holding an `Event` message.
public enum TensorBoardEvents {
  /// What the names of event files begin with.
  public static let filePrefix = "events.out.tfevents."

  /// What a file begins with: the format's version, and the program that writes it.
  public static func header(writer: String, wallTime: Double) -> [UInt8] {
    record(wallTime) {
      var source = ProtocolBuffer()
      source.append(writer, field: SourceField.writer)
      $0.append("brain.Event:2", field: EventField.fileVersion)
      $0.append(source, field: EventField.sourceMetadata)
    }
  }

  /// Tells that steps from `step` on are written (again): readers drop what they have of them from older files.
  public static func sessionStart(step: Int, wallTime: Double) -> [UInt8] {
    record(wallTime) {
      var session = ProtocolBuffer()
      session.append(SessionField.start, field: SessionField.status)
      $0.append(step, field: EventField.step)
      $0.append(session, field: EventField.sessionLog)
    }
  }

  /// One point of the curve `tag`. `wallTime` is in seconds since 1970.
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

  /// How much of a file a run keeps that continues after a step.
  public struct Kept: Equatable {
    /// Bytes of the whole records up to the first of a later step.
    public var bytes: Int
    /// Whether they are more than the file's beginning.
    public var hasScalars: Bool
  }

  /// Looks for the first record beyond a step, or the first that is cut short or damaged, which no reader gets past.
  ///
  /// - Parameters:
  ///   - contents: of a file, in which steps ascend.
  ///   - writer: who must have written it.
  /// - Returns: nil for a file that somebody else has written, or that is none.
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

  /// The data of the record that begins at a place; nil when it is not whole.
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
