import Diagnostics
import Foundation
import MPI
import RunConfiguration
import RunStore
import Support
import Synchronization

/// Hang watchdog of a rank: updates the heartbeat of its flight recorder, and ends a job that hangs.
///
/// A thread writes a heartbeat every second and checks the time of the current step. Beyond the timeout the rank logs
/// the diagnosis from the records of all ranks, and the job ends with exit code 75, so that a requeue resumes the run.
/// This needs no messages; ranks read each other's records in the run directory.
final class Watchdog: Sendable {
  /// The rank's current phase and its timeout. Guarded by the mutex.
  private struct State {
    var phase = FlightRecorder.Phase.starting
    var step = 0
    var began = ContinuousClock.now
    var limit: Double
    var durations: RecentDurations = RecentDurations()
    /// Until when the check for pausing ranks is skipped, after one was found.
    var pauseSeen: ContinuousClock.Instant?
  }

  private static let firstSteps = 2
  /// Seconds between two syncs of the record to the disk.
  private static let syncInterval = 10.0
  /// How long a rank that has detected a hang waits for a lower one to report it first, seconds.
  private static let grace = 1.5

  /// Heartbeat timeout of ranks on this node, seconds. Heartbeats of other nodes arrive late, through a disk that may
  /// be the slow part.
  private static let timeout = 15.0
  private static let pauseInterval = Duration.seconds(10)

  /// The timeouts: of a step a multiple of the recent median, with a minimum; of other phases and the first steps
  /// `pauseSeconds`, which also holds for the steps of ranks that wait for a rank in such a phase.
  private let settings: RunConfiguration.Watchdog
  private let box: FlightRecorder?
  private let run: RunDirectory
  private let lease: RunLease?
  private let rank: Int
  private let state: Mutex<State>

  /// Opens this rank's flight recorder and starts the watchdog threads. Collective.
  ///
  /// - Parameters:
  ///   - directory: of the run, which exists; the reason for ending a job is appended to its log.
  ///   - warn: called when the flight recorder cannot be opened; training continues without it.
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
    // The attempt number is the same on all ranks and increases with every start, even when a clock was set back.
    let folder = run.blackBoxes
    var last: Int64 = 0
    if rank == 0 {
      last = (try? FlightRecord.newest(in: folder))?.first?.attempt ?? 0
      // Stale ranks of an earlier start then write to unlinked files.
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
    // A thread of its own, so that a hanging disk does not block the watchdog.
    try SystemThread.start(name: "black-box") { self.synchronize() }
  }

  private static func removeRecords(in folder: String) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix("rank-") {
      unlink("\(folder)/\(name)")
    }
  }

  // MARK: Calls of the trainer

  /// Records the start of a step.
  func beginStep(_ step: Int) {
    enter(.training, step: step) { state in
      state.durations.count < Self.firstSteps
        ? self.settings.pauseSeconds
        : max(self.settings.minimumSeconds, self.settings.factor * state.durations.median)
    }
  }

  /// Records the end of a step, whose time counts for the timeouts of the next ones.
  func endStep() {
    let (usual, step) = state.withLock { state in
      state.durations.add((ContinuousClock.now - state.began) / .seconds(1))
      return (state.durations.median, state.step)
    }
    box?.setExpectation(usual: usual, limit: max(settings.minimumSeconds, settings.factor * usual))
    enter(.training, step: step) { _ in self.settings.pauseSeconds }
  }

  /// Runs `body`, which is not a step, with the timeout `pauseSeconds`, and then restores the previous phase.
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

  // MARK: Threads

  /// Syncs the record at intervals, so that other nodes see it, until the process ends.
  private func synchronize() {
    while let box {
      Thread.sleep(forTimeInterval: Self.syncInterval)
      box.synchronize()
    }
  }

  /// The watchdog's loop, until the process ends.
  private func watch() {
    var last = ContinuousClock.now
    while true {
      Thread.sleep(forTimeInterval: 1)
      box?.beat()
      let gap = (ContinuousClock.now - last) / .seconds(1)
      last = .now
      // The time for which the process was suspended does not count.
      if gap > 2 {
        state.withLock { $0.began += .seconds(gap) }
      } else if settings.factor > 0, let reason = overdue() {
        endJob(reason)
      }
    }
  }

  /// The reason to end the job, once a timeout has expired: `step 41 takes longer than 120 s, where 3.2 s is usual`.
  private func overdue() -> String? {
    guard let reason = exceeded() else { return nil }
    // Rank 0 may be recording or saving on a slow disk, while the others wait for it in the next step.
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

  /// Whether another rank is alive in a phase that is not a step.
  ///
  /// - Parameters:
  ///   - limit: max age of a heartbeat from another node, seconds.
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

  /// Sets an alarm that ends this process, and with it the job, if the disk hangs.
  private static func setAlarm() {
    signal(SIGALRM, SIG_DFL)
    alarm(30)
  }

  private func endJob(_ reason: String) -> Never {
    Self.setAlarm()
    let sentence = firstSentence() ?? "\(reason): \(finding())"
    box?.end(.consequence, exitCode: ForgeError.Kind.tryAgain.exitCode, sentence: sentence)
    box?.synchronize()
    // The lowest rank that has detected the hang reports it and ends the job; the others only if it does not.
    Thread.sleep(forTimeInterval: Self.grace)
    if records().contains(where: { $0.rank < rank && $0.ending != nil }) { Thread.sleep(forTimeInterval: 10) }
    do { try lease?.check() } catch let lost as ForgeError where lost.kind == .badInput {
      Launcher.abortJob(.init(sentence: "\(lost)", error: lost, exitCode: lost.exitCode))
    } catch {}
    append(sentence)
    let error = ForgeError.tryAgain(sentence, code: .timedOut)
    Launcher.abortJob(.init(sentence: sentence, error: error, exitCode: error.exitCode))
  }

  private func records() -> [FlightRecord] { (try? FlightRecord.newest(in: run.blackBoxes)) ?? [] }

  /// The ending sentence of another rank, if any has ended already.
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

  /// The median; 0 without values.
  var median: Double { values.isEmpty ? 0 : values.sorted()[values.count / 2] }
}
