import Foundation
import Support

/// The diagnosis of a hung or failed run, from the flight recorders of all ranks: where each rank is, and which are the
/// culprits.
public struct RunDiagnosis: Sendable {
  /// A collective in which a rank waits, or waited when it died.
  public struct Wait: Sendable, Equatable {
    public var rank: Int
    public var communicator: String
    public var operation: FlightRecord.Operation
    /// Ranks of the communicator that have not started this operation.
    public var missing: [Int]
    /// Ranks that have started it and not completed it; one that is stopped or dead there blocks the others.
    public var inside: [Int]
    /// Ranks that started another operation under the same number, and which.
    public var mismatched: [Int: String]
  }

  public enum Kind: Sendable, Equatable {
    case complete, sound
    case dead, stopped, silent, failed, consequence, terminated
    case mismatched, computing, deadlock, transfer
  }

  public let records: [FlightRecord]
  public let conditions: [RankCondition]
  /// By record; waits with missing ranks first, then the oldest.
  public let waits: [[Wait]]
  public let kind: Kind
  /// The culprit ranks, ascending.
  public let culprits: [Int]
  /// The end of durations, seconds since 1970: now, or when the last rank died.
  public let moment: Double

  /// Reads the records of a run's newest attempt and diagnoses them.
  ///
  /// - Parameter run: the run directory.
  /// - Throws: `ForgeError.badInput` when it holds no records.
  public init(run: String) throws {
    self.init(
      try FlightRecord.newest(in: RunDirectory(path: run).blackBoxes), now: Double(clockNanoseconds()) / 1e9,
      place: ProcessTable.place, state: ProcessTable.state)
  }

  /// - Parameter records: at least one, of one attempt.
  init(
    _ records: [FlightRecord], now: Double, place: UInt64,
    state: (_ pid: Int32, _ start: UInt64) -> ProcessTable.State
  ) {
    let newestSign = records.map(\.lastSign).max() ?? now
    let conditions = records.map {
      RankCondition($0, now: now, place: place, state: state)
    }
    self.records = records
    self.conditions = conditions
    moment = conditions.contains { $0.isAlive } ? now : newestSign
    waits = Self.waits(records)
    (kind, culprits) = Self.judge(records, conditions, waits, newestSign: newestSign, moment: moment)
  }

  // MARK: Waits

  private static func waits(_ records: [FlightRecord]) -> [[Wait]] {
    // Operations by communicator and rank.
    var done: [UInt64: [Int: [FlightRecord.Operation]]] = [:]
    for record in records {
      for communicator in record.communicators {
        done[communicator.id, default: [:]][record.rank] = communicator.operations
      }
    }
    return records.map { record in
      record.communicators.compactMap { communicator in
        // Later ones may have been started behind the one that is waited for.
        guard let last = communicator.operations.first(where: { $0.isOpen && $0.isWaiting }) else { return nil }
        let ranks = done[communicator.id] ?? [:]
        let others = communicator.members.filter { $0 != record.rank }
        var mismatched: [Int: String] = [:]
        for rank in others {
          guard let same = ranks[rank]?.first(where: { $0.sequence == last.sequence }) else { continue }
          if same.name != last.name {
            mismatched[rank] = same.name
          } else if same.bytes != last.bytes, equalBytes.contains(last.name) {
            mismatched[rank] = "\(same.name) of \(same.bytes) bytes"
          }
        }
        return Wait(
          rank: record.rank, communicator: communicator.name, operation: last,
          missing: others.filter { (ranks[$0]?.last?.sequence ?? 0) < last.sequence },
          inside: others.filter { rank in
            ranks[rank]?.contains { $0.sequence == last.sequence && $0.isOpen } ?? false
          }, mismatched: mismatched)
      }.sorted { ($0.missing.isEmpty ? 1 : 0, $0.operation.began) < ($1.missing.isEmpty ? 1 : 0, $1.operation.began) }
    }
  }

  /// Operations to which every rank contributes the same number of bytes.
  private static let equalBytes: Set<String> = [
    "MPI_Allreduce", "MPI_Iallreduce", "MPI_Bcast", "MPI_Ibcast", "MPI_Alltoall", "MPI_Ialltoall",
  ]

  // MARK: Verdict

  /// The timeout without progress before a running rank is reported, seconds.
  private static func timeout(_ record: FlightRecord) -> Double {
    record.phase == .training && record.usualSeconds > 0 ? max(5, 3 * record.usualSeconds) : 60
  }

  private static func judge(
    _ records: [FlightRecord], _ conditions: [RankCondition], _ waits: [[Wait]], newestSign: Double, moment: Double
  ) -> (Kind, [Int]) {
    func ranks(_ condition: RankCondition) -> [Int] {
      zip(records, conditions).filter { $1 == condition }.map(\.0.rank)
    }
    /// The ranks whose last sign of life is more than 3 s before the newest of all; all of `ranks` if none is.
    func first(_ ranks: [Int]) -> [Int] {
      let early = records.filter { ranks.contains($0.rank) && $0.lastSign < newestSign - 3 }.map(\.rank)
      return early.isEmpty ? ranks : early
    }
    // A rank that failed by itself is the cause, whatever happened to the others.
    for (condition, kind) in [(RankCondition.ended(.failure), Kind.failed), (.dead, .dead), (.stopped, .stopped)] {
      let found = ranks(condition)
      if !found.isEmpty { return (kind, kind == .dead ? first(found) : found) }
    }
    let silent = ranks(.silent)
    if !silent.isEmpty { return (.silent, first(silent)) }
    let consequence = ranks(.ended(.consequence))
    if !consequence.isEmpty { return (.consequence, consequence) }
    let terminated = ranks(.terminated)
    if !terminated.isEmpty { return (.terminated, terminated) }
    let running = ranks(.running)
    if running.isEmpty { return (.complete, []) }
    return judgeRunning(records.filter { running.contains($0.rank) }, waits.flatMap { $0 }, moment: moment)
  }

  /// Diagnoses live ranks: for which ranks do the waiting ones wait?
  private static func judgeRunning(_ records: [FlightRecord], _ waits: [Wait], moment: Double) -> (Kind, [Int]) {
    let odd = Set(waits.flatMap { wait in wait.mismatched.isEmpty ? [] : [wait.rank] + wait.mismatched.keys })
    if !odd.isEmpty { return (.mismatched, odd.sorted()) }
    guard records.contains(where: { moment - $0.progressed > timeout($0) }) else { return (.sound, []) }
    let blocked = Set(waits.filter { !$0.missing.isEmpty }.map(\.rank))
    let missing = Set(waits.flatMap(\.missing))
    if !missing.isEmpty {
      let computing = missing.subtracting(blocked)
      return computing.isEmpty ? (.deadlock, missing.sorted()) : (.computing, computing.sorted())
    }
    return waits.isEmpty ? (.computing, records.map(\.rank)) : (.transfer, Set(waits.map(\.rank)).sorted())
  }
}
