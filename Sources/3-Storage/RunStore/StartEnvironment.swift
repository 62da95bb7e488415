import Foundation

/// The scheduler's environment of this process: the Slurm job and its restarts.
public struct StartEnvironment: Sendable {
  /// The Slurm job; empty outside Slurm.
  public var job = ""
  /// The number of the job's restart, 1000 · `SLURM_RESTART_COUNT` (by Slurm) + `FORGE_RESTART` (within its allocation,
  /// by the launchers in `cluster/`).
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

  /// Whether this is a later start of the same job than the one that wrote `record`.
  func isNextAttempt(after record: RunLease.Record) -> Bool {
    !job.isEmpty && job == record.job && attempt > record.attempt
  }
}
