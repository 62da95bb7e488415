import Foundation
import Support

/// The liveness of a rank: from its record, from the process table if it is on this node, and otherwise from its last
/// sign of life.
public enum RankCondition: Sendable, Equatable {
  /// The process exists, or gave a recent sign of life.
  case running
  /// The process is stopped by SIGSTOP or a debugger.
  case stopped
  /// The process is gone without a recorded end.
  case dead
  /// The process is gone, or on another node silent, after SIGTERM, which launchers send when another rank is lost.
  case terminated
  /// On another node and without a sign of life for `remoteTimeout`: it is dead or stopped, or its node is.
  case silent
  /// The process recorded its end.
  case ended(FlightRecorder.Ending)

  public var isAlive: Bool { self == .running || self == .stopped }

  /// The timeout of records of other nodes, seconds: the writer syncs every ten seconds, and network file systems may
  /// cache for up to a minute.
  static let remoteTimeout = 75.0

  /// - Parameters:
  ///   - now: seconds since 1970.
  ///   - place: of the process table that `state` reads.
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
