import Diagnostics
import Foundation
import MPI
import RunConfiguration
import RunStore
import Support
import Synchronization

/// Keeps the black box of a rank alive, and ends a job that hangs.
///
/// A thread gives a sign of life every second and looks how long the present step has taken. Beyond the limit the rank
/// says whom the records of all ranks blame, and the whole job ends with exit code 75: a requeue continues the run. No
/// message is exchanged for that; ranks see each other's records in the run directory.
final class Watchdog: Sendable {
  /// What the rank is doing and how long that may take. Guarded by the mutex.
  private struct State {
    var phase = FlightRecorder.Phase.starting
    var step = 0
    var began = ContinuousClock.now
    var limit: Double
    var durations: RecentDurations = RecentDurations()
    /// Until when it need not be asked again whether another rank pauses.
    var pauseSeen: ContinuousClock.Instant?
  }

  private static let firstSteps = 2
  /// Seconds between two syncs of the record to the disk.
  private static let syncInterval = 10.0
  /// How long a rank that has found the job hanging waits for a lower one to say so first, seconds.
  private static let grace = 1.5

  /// A rank of this node that has given no sign of life for so many seconds does not pause: it has stopped. Of other
  /// nodes' ranks signs come late, through the disk that may be the slow one.
  private static let timeout = 15.0
  private static let pauseInterval = Duration.seconds(10)

  /// A step may take so many times the median of the last ones, and at least so long. What is not a step, and the first
  /// steps, have a limit of their own; and while a rank is busy with that, so do the steps of those that wait for it.
  private let settings: RunConfiguration.Watchdog
  private let box: FlightRecorder?
  private let run: RunDirectory
  private let lease: RunLease?
  private let rank: Int
  private let state: Mutex<State>

  /// Opens this rank's black box and starts to watch. Collective.
  ///
  /// - Parameters:
  ///   - directory: of the run, which exists; the reason for an end is appended to its log.
  ///   - warn: told when there can be no black box, which is no reason not to train.
  /// - Throws: `MPIError`; `ForgeError.tryAgain` when the system starts no further thread.
  init(
    _ settings: RunConfiguration.Watchdog, _ directory: RunDirectory, communicator: Communicator,
    lease: RunLease?, warn: (String) -> Void
  ) throws {
    self.settings = settings
    self.lease = lease
    run = directory
    rank = communicator.rank
    state = Mutex(State(limit: settings.pauseSeconds))
    // All ranks of this start have one number, and a later start has a larger one, even when a clock was set back.
    let folder = run.blackBoxes
    var last: Int64 = 0
    if rank == 0 {
      last = (try? FlightRecord.newest(in: folder))?.first?.attempt ?? 0
      // Ranks of an earlier start that wake up write to files without a name.
      Self.removeRecords(in: folder)
    }
    let attempt = try communicator.allReduce(max(last + 1, Int64(Date().timeIntervalSince1970 * 1000)), .max)
    do {
      box = try FlightRecorder(folder: folder, rank: rank, ranks: communicator.size, attempt: attempt)
    } catch {
      box = nil
      warn("hangs will not be explained: \(error)")
    }
    FlightRecorder.install(box)
    try SystemThread.start(name: "watchdog") { self.watch() }
    // On a disk that hangs, too, somebody must watch.
    try SystemThread.start(name: "black-box") { self.synchronize() }
  }

  private static func removeRecords(in folder: String) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix("rank-") {
      unlink("\(folder)/\(name)")
    }
  }

  // MARK: What the trainer says

  /// A step begins.
  func beginStep(_ step: Int) {
    enter(.training, step: step) { state in
      state.durations.count < Self.firstSteps
        ? self.settings.pauseSeconds
        : max(self.settings.minimumSeconds, self.settings.factor * state.durations.median)
    }
  }

  /// The step is done; its time counts for the limits of the next ones.
  func endStep() {
    let (usual, step) = state.withLock { state in
      state.durations.add((ContinuousClock.now - state.began) / .seconds(1))
      return (state.durations.median, state.step)
    }
    box?.setExpectation(usual: usual, limit: max(settings.minimumSeconds, settings.factor * usual))
    enter(.training, step: step) { _ in self.settings.pauseSeconds }
  }

  /// Runs `body`, which is no step, under the generous limit; afterwards the rank is again where it was before.
  func phase<Result>(_ phase: FlightRecorder.Phase, _ body: () throws -> Result) rethrows -> Result {
    let before = state.withLock { $0 }
    enter(phase, step: before.step) { _ in self.settings.pauseSeconds }
    defer { enter(before.phase, step: before.step) { _ in before.limit } }
    return try body()
  }

  private func enter(_ phase: FlightRecorder.Phase, step: Int, limit: (State) -> Double) {
    state.withLock { state in
      state.phase = phase
      state.step = step
      state.limit = limit(state)
      state.began = .now
    }
    box?.enter(phase, step: step)
  }

  // MARK: The thread

  /// Brings the record to where other nodes see it, until the process ends.
  private func synchronize() {
    while let box {
      Thread.sleep(forTimeInterval: Self.syncInterval)
      box.synchronize()
    }
  }

  /// Runs until the process ends.
  private func watch() {
    var last = ContinuousClock.now
    while true {
      Thread.sleep(forTimeInterval: 1)
      box?.beat()
      let gap = (ContinuousClock.now - last) / .seconds(1)
      last = .now
      // The time for which a process was stopped is not what its step took.
      if gap > 2 {
        state.withLock { $0.began += .seconds(gap) }
      } else if settings.factor > 0, let reason = overdue() {
        endJob(reason)
      }
    }
  }

  /// Why the job has to end, once it has to: `step 41 takes longer than 120 s, where 3.2 s is usual`.
  private func overdue() -> String? {
    guard let reason = exceeded() else { return nil }
    // Rank 0 alone writes to the run directory; on a slow disk the others wait for it in the next step.
    let (mayPause, pauseSeen) = state.withLock {
      let elapsed = (ContinuousClock.now - $0.began) / .seconds(1)
      return ($0.phase == .training && elapsed < settings.pauseSeconds, $0.pauseSeen)
    }
    guard mayPause else { return reason }
    if let pauseSeen, pauseSeen > .now { return nil }
    Self.setAlarm()
    defer { alarm(0) }
    guard Self.isPausing(records(), besides: rank, atMost: settings.pauseSeconds) else { return reason }
    state.withLock { $0.pauseSeen = .now + Self.pauseInterval }
    return nil
  }

  /// Whether one of the other ranks is alive and busy with something that is no step.
  ///
  /// - Parameters:
  ///   - limit: how old a sign of life from another node may be, seconds.
  ///   - now: seconds since 1970.
  static func isPausing(
    _ records: [FlightRecord], besides rank: Int, atMost limit: Double, now: Double = Date().timeIntervalSince1970
  ) -> Bool {
    let place = records.first { $0.rank == rank }?.place
    return records.contains {
      $0.rank != rank && $0.phase != .training && $0.ending == nil
        && now - $0.lastBeat < ($0.place == place ? timeout : limit)
    }
  }

  private func exceeded() -> String? {
    state.withLock { state in
      guard (ContinuousClock.now - state.began) / .seconds(1) > state.limit else { return nil }
      let limit = String(format: "%.0f s", state.limit)
      guard state.phase == .training else {
        return "\(state.phase) after step \(state.step) takes longer than \(limit)"
      }
      let usual = state.durations.count > 0 ? String(format: ", where %.2g s is usual", state.durations.median) : ""
      return "step \(state.step) takes longer than \(limit)\(usual)"
    }
  }

  /// The disk may be what hangs; the alarm then ends this process, and the launcher the job.
  private static func setAlarm() {
    signal(SIGALRM, SIG_DFL)
    alarm(30)
  }

  private func endJob(_ reason: String) -> Never {
    Self.setAlarm()
    let sentence = firstSentence() ?? "\(reason): \(finding())"
    box?.end(.consequence, exitCode: ForgeError.Kind.tryAgain.exitCode, sentence: sentence)
    box?.synchronize()
    // The lowest of those who have found this out speaks and ends the job; the others only if that does not happen.
    Thread.sleep(forTimeInterval: Self.grace)
    if records().contains(where: { $0.rank < rank && $0.ending != nil }) { Thread.sleep(forTimeInterval: 10) }
    do { try lease?.check() } catch let lost as ForgeError where lost.kind == .badInput {
      Launcher.abortJob(code: lost.exitCode, sentence: "forge-dist: \(lost)")
    } catch {}
    append(sentence)
    Launcher.abortJob(code: ForgeError.Kind.tryAgain.exitCode, sentence: "forge-dist: \(sentence)")
  }

  private func records() -> [FlightRecord] { (try? FlightRecord.newest(in: run.blackBoxes)) ?? [] }

  /// What another rank has found before this one, which was perhaps what it found.
  private func firstSentence() -> String? { records().lazy.compactMap(\.ending?.sentence).first { !$0.isEmpty } }

  private func finding() -> String {
    (try? RunDiagnosis(run: run.path))?.finding ?? "why is not known without black boxes"
  }

  private func append(_ sentence: String) { try? AppendedFile(path: run.log).append(sentence + "\n") }
}

/// The durations of the last steps, seconds.
struct RecentDurations {
  private static let kept = 32
  private var values: [Double] = []
  private var next = 0

  init() { values.reserveCapacity(Self.kept) }

  var count: Int { values.count }

  mutating func add(_ seconds: Double) {
    if values.count < Self.kept {
      values.append(seconds)
    } else {
      values[next] = seconds
      next = (next + 1) % Self.kept
    }
  }

  /// 0 when there are none.
  var median: Double { values.isEmpty ? 0 : values.sorted()[values.count / 2] }
}
