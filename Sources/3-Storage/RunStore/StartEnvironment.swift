import Foundation

/// Who started this process: a person, or a scheduler that starts a job again.
public struct StartEnvironment: Sendable {
  /// The Slurm job; empty outside Slurm.
  public var job = ""
  /// How many times the job was started again: by Slurm (`SLURM_RESTART_COUNT`), or within its allocation by the
  /// launchers in `cluster/` (`FORGE_RESTART`).
  public var attempt = 0

  public static let current = StartEnvironment(ProcessInfo.processInfo.environment)

  public init(job: String = "", attempt: Int = 0) {
    self.job = job
    self.attempt = attempt
  }

  public init(_ environment: [String: String]) {
    func count(_ name: String) -> Int { environment[name].flatMap { Int($0) } ?? 0 }
    job = environment["SLURM_JOB_ID"] ?? ""
    attempt = 1000 * count("SLURM_RESTART_COUNT") + count("FORGE_RESTART")
  }

  /// Whether the scheduler has given up the start that wrote `record`.
  func isNextAttempt(after record: RunLease.Record) -> Bool {
    !job.isEmpty && job == record.job && attempt > record.attempt
  }
}
