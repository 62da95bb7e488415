import Foundation
import Support

/// Whether a rank still lives, judged by its record, by the kernel where its process is on this node, and otherwise by
/// its last sign of life.
public enum RankCondition: Sendable, Equatable {
  /// The process is there, or was a moment ago.
  case running
  /// SIGSTOP, or a debugger, holds the process.
  case stopped
  /// The process is gone without a word.
  case dead
  /// The process is gone after SIGTERM had asked it to end, as launchers do when another rank is lost.
  case terminated
  /// On another node, and without a sign of life for long: dead or stopped, or its node is.
  case silent
  /// The process said that it ends.
  case ended(FlightRecorder.Ending)

  public var isAlive: Bool { self == .running || self == .stopped }

  /// Records reach other nodes some time after they were written: the writer syncs every ten seconds, and network file
  /// systems look for changes up to a minute later. Seconds.
  static let remoteTimeout = 75.0

  /// - Parameters:
  ///   - now: seconds since 1970.
  ///   - place: where `state` is asked.
  init(
    _ record: FlightRecord, now: Double, place: UInt64,
    state: (_ pid: Int32, _ start: UInt64) -> ProcessTable.State
  ) {
    if let ending = record.ending {
      self = .ended(ending.kind)
    } else if record.place == place {
      switch state(record.pid, record.processStart) {
      case .alive: self = .running
      case .stopped: self = .stopped
      case .gone: self = record.signal == SIGTERM ? .terminated : .dead
      }
    } else if now - record.lastSign > Self.remoteTimeout {
      self = record.signal == SIGTERM ? .terminated : .silent
    } else {
      self = .running
    }
  }
}
