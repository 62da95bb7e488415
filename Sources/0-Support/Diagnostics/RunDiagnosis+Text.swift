import Foundation

extension RunDiagnosis {
  /// The report: a line per rank, then the verdict.
  public func text() -> String {
    var rows = [["rank", "host", "pid", "step", "state"]]
    for index in records.indices {
      let record = records[index]
      rows.append(["\(record.rank)", record.host, "\(record.pid)", "\(record.step)", state(of: index)])
    }
    let widths = (0..<4).map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      zip(row, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column == 1 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ") + "  " + row[4]
    }
    return (lines + ["", sentence]).joined(separator: "\n") + "\n"
  }

  /// The culprits and where the others wait, without a full stop.
  public var finding: String {
    let waiting = waitingText
    return verdict + (waiting.isEmpty ? "" : "; \(waiting)")
  }

  /// The verdict: the finding, and what to do.
  public var sentence: String {
    let present = Set(records.map(\.rank))
    let absent = (0..<(records.first?.ranks ?? 0)).filter { !present.contains($0) }
    let unseen = absent.isEmpty ? "" : " (\(Self.names(absent)) left no record.)"
    return finding + "." + advice + unseen
  }

  // MARK: Verdict

  private var verdict: String {
    let who = culpritNames
    let are = culprits.count == 1 ? "is" : "are"
    let step = culprit.map { Self.place($0) } ?? ""
    let since = culprit.map { Self.clock($0.lastSign) } ?? ""
    return switch kind {
    case .complete: "all ranks ended by themselves\(exitText)"
    case .sound: "nothing is wrong: \(soundText)"
    case .dead:
      "\(who) \(are) dead: ended without a word \(step), last sign of life at \(since) (killed, crashed, out of memory, "
        + "or its node was lost)"
    case .stopped: "\(who) \(are) stopped \(step), by SIGSTOP or a debugger"
    case .silent:
      "\(who) gave no sign of life since \(since), \(step): dead or stopped, or its node is; look there, or run this there"
    case .failed: "\(who) failed: \(culprit?.ending?.sentence ?? "")"
    case .consequence: "\(who) ended the job: \(culprit?.ending?.sentence ?? "")"
    case .terminated:
      "\(who) \(culprits.count == 1 ? "was" : "were") told to end by SIGTERM \(step) and did not "
        + "end by \(culprits.count == 1 ? "itself" : "themselves"): the job was ended from outside at \(since)"
    case .mismatched: "\(who) are in different collectives, which is a bug: \(mismatchText)"
    case .computing: "\(who) \(are) still computing \(step)\(durationText)"
    case .deadlock: "\(who) wait for each other, which is a bug"
    case .transfer: "\(who) are all inside the same collective, whose messages do not arrive: look at the network"
    }
  }

  private var advice: String {
    guard let culprit else { return "" }
    return switch kind {
    case .stopped where culprits.count == 1:
      " kill -CONT \(culprit.pid) there lets it go on; or end the job, and the same command continues the run."
    case .dead, .silent, .consequence, .terminated: " The same command continues the run."
    default: ""
    }
  }

  private var culprit: FlightRecord? { records.first { $0.rank == culprits.first } }

  private var culpritNames: String {
    guard culprits.count == 1, let culprit else { return Self.names(culprits) }
    return "rank \(culprit.rank) (host \(culprit.host), pid \(culprit.pid))"
  }

  private var exitText: String {
    guard let code = records.compactMap({ $0.ending?.exitCode }).max() else { return "" }
    return code == 0 ? ": the run is complete" : " with exit code \(code)"
  }

  private var soundText: String {
    guard let slowest = records.min(by: { ($0.step, $0.progressed) < ($1.step, $1.progressed) }) else { return "" }
    let seconds = Self.seconds(moment - slowest.progressed)
    return "rank \(slowest.rank), the last of all, is \(Self.place(slowest)) since \(seconds)"
  }

  private var durationText: String {
    guard let culprit else { return "" }
    let usual = culprit.usualSeconds > 0 ? ", which usually takes \(Self.seconds(culprit.usualSeconds))" : ""
    return " since \(Self.seconds(moment - culprit.progressed))\(usual)"
  }

  private var mismatchText: String {
    guard let wait = waits.joined().first(where: { !$0.mismatched.isEmpty }) else { return "" }
    let others = wait.mismatched.sorted { $0.key < $1.key }.map { "rank \($0.key) in \($0.value)" }
    return "rank \(wait.rank) in \(Self.describe(wait)), under the same number " + others.joined(separator: ", ")
  }

  /// `ranks 0, 2 wait for it in MPI_Allreduce no. 12 of 'world' (…)`, for the culprits.
  private var waitingText: String {
    guard [.dead, .stopped, .silent, .computing, .deadlock, .transfer].contains(kind) else { return "" }
    let blamed = Set(culprits)
    let areGone = [.dead, .stopped, .silent].contains(kind)
    let relevant = waits.compactMap { waits in
      waits.first {
        kind == .transfer || !blamed.isDisjoint(with: $0.missing) || areGone && !blamed.isDisjoint(with: $0.inside)
      }
    }.filter { kind == .transfer || kind == .deadlock || !blamed.contains($0.rank) }
    var groups: [(wait: Wait, ranks: [Int])] = []
    for wait in relevant {
      let same = groups.firstIndex {
        $0.wait.communicator == wait.communicator && $0.wait.operation.sequence == wait.operation.sequence
      }
      if let same { groups[same].ranks.append(wait.rank) } else { groups.append((wait, [wait.rank])) }
    }
    let isLive = conditions.contains { $0.isAlive }
    return groups.prefix(4).map { wait, ranks in
      let verb = isLive ? (ranks.count == 1 ? "waits" : "wait") : "waited"
      let whom =
        kind == .transfer
        ? "" : culprits.count == 1 ? " for it" : " for \(Self.names(wait.missing.isEmpty ? culprits : wait.missing))"
      return "\(Self.names(ranks)) \(verb)\(whom) in \(Self.describe(wait))"
    }.joined(separator: "; ")
  }

  // MARK: Ranks

  private func state(of index: Int) -> String {
    let record = records[index]
    let age = "last sign of life at \(Self.clock(record.lastSign))"
    let wait = waits[index].first
    switch conditions[index] {
    case .ended(let kind):
      let code = record.ending?.exitCode ?? 0
      let sentence = record.ending?.sentence ?? ""
      return switch kind {
      case .normal: "ended with exit code \(code)"
      case .failure: "failed with exit code \(code): \(sentence)"
      case .consequence: "gave up because of other ranks, \(age)"
      }
    case .running:
      guard let wait else { return "\(record.phase) since \(Self.seconds(moment - record.progressed))" }
      let whom = wait.missing.isEmpty ? "" : " for \(Self.names(wait.missing))"
      return "waits\(whom) since \(Self.seconds(moment - wait.operation.began)) in \(Self.describe(wait))"
    case .stopped: return "stopped, \(age)" + (wait.map { ", in \(Self.describe($0))" } ?? "")
    case .dead: return "dead, \(age)" + (wait.map { ", in \(Self.describe($0))" } ?? "")
    case .silent: return "silent, \(age)" + (wait.map { ", in \(Self.describe($0))" } ?? "")
    case .terminated:
      return "ended by the launcher, \(age)" + (wait.map { ", in \(Self.describe($0))" } ?? "")
    }
  }

  // MARK: Phrases

  private static func place(_ record: FlightRecord) -> String {
    switch record.phase {
    case .training: "in step \(record.step)"
    case .starting, .restoring: "while \(record.phase)"
    case .validation: "in the validation after step \(record.step)"
    case .recording: "while step \(record.step) is recorded"
    case .checkpoint: "in the checkpoint after step \(record.step)"
    case .ending: "at the end"
    }
  }

  private static func describe(_ wait: Wait) -> String {
    let operation = wait.operation
    return "\(operation.name) no. \(operation.sequence) of '\(wait.communicator)' (\(operation.bytes) bytes, "
      + "\(operation.site))"
  }

  /// `ranks 0–3, 7`
  static func names(_ ranks: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for rank in ranks.sorted() {
      if let last = ranges.last, last.upperBound == rank - 1 {
        ranges[ranges.count - 1] = last.lowerBound...rank
      } else {
        ranges.append(rank...rank)
      }
    }
    let parts = ranges.map {
      switch $0.count {
      case 1: "\($0.lowerBound)"
      case 2: "\($0.lowerBound), \($0.upperBound)"
      default: "\($0.lowerBound)–\($0.upperBound)"
      }
    }
    return (ranks.count == 1 ? "rank " : "ranks ") + parts.joined(separator: ", ")
  }

  private static func seconds(_ value: Double) -> String { String(format: "%.1f s", max(0, value)) }

  private static func clock(_ time: Double) -> String {
    var seconds = time_t(time)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return String(format: "%02d:%02d:%02d", parts.tm_hour, parts.tm_min, parts.tm_sec)
  }
}
