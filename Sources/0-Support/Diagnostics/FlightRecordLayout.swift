// The file layout of a flight recorder (black box), which docs/blackbox.md describes. All numbers are little-endian,
// all texts UTF-8 and NUL-padded, all times nanoseconds since 1970.

/// The header, at the start of the file.
enum FlightRecordHeader {
  static let size = 1024
  static let magic: UInt64 = 0x3158_4245_4752_4f46  // the bytes "FORGEBX1"
  static let version: UInt32 = 1

  static let magicOffset = 0
  static let versionOffset = 8
  static let rank = 12
  static let ranks = 16
  static let pid = 20
  static let processStart = 24
  static let attempt = 32
  static let place = 40
  static let host = 64
  static let hostSize = 64
  static let beats = 128
  static let beatTime = 136
  /// Phase in the upper 8 bits, step in the lower 56, so that one store changes both.
  static let progress = 144
  static let progressTime = 152
  static let usualNanoseconds = 160
  static let limitNanoseconds = 168
  static let signal = 176
  static let signalTime = 184
  static let ending = 192
  static let exitCode = 196
  static let sentence = 256
  static let sentenceSize = 768
}

/// A communicator's slot of the file: its name, its ring buffer of operations, and the set of its ranks.
enum FlightRecordSlot {
  /// The max communicators at one time; operations of further ones are not recorded.
  static let count = 16

  // 0: free, 1: being written, 2: in use.
  static let state = 0
  static let id = 8
  static let name = 16
  static let nameSize = 48
  static let ring = 64

  static let operations = 32
  static var members: Int { ring + operations * FlightRecordOperation.size }

  /// Bytes of a slot in a job of `ranks`: a bit per rank follows the ring.
  static func size(ranks: Int) -> Int { members + (ranks + 511) / 512 * 64 }
}

/// An entry of a ring: one operation.
enum FlightRecordOperation {
  static let size = 128
  /// 0 while the entry is being written; stored last.
  static let sequence = 0
  static let bytes = 8
  static let began = 16
  /// 0 until the operation is complete.
  static let finished = 24
  /// Whether a thread of the rank waits for it.
  static let isWaiting = 32
  static let line = 36
  static let name = 40
  static let nameSize = 32
  static let file = 72
  static let fileSize = 56
}
