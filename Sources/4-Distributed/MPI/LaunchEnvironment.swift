import Glibc

/// The process's rank and size from the launcher's environment variables, readable before MPI is initialised.
public struct LaunchEnvironment: Sendable, Equatable {
  public enum Launcher: Sendable { case mpirun, srun, none }

  public let launcher: Launcher
  /// This process's world rank, in `0..<size`.
  public let rank: Int
  /// The number of processes in the job.
  public let size: Int
  /// This process's rank on its node, in `0..<localSize`.
  public let localRank: Int
  /// The number of the job's processes on this node (with `srun`, on the fullest node).
  public let localSize: Int

  /// Whether the launcher offers a process manager (PMIx), which `srun` does only with `--mpi`.
  public let hasProcessManager: Bool

  /// The environment of this process.
  public static let current = LaunchEnvironment { name in getenv(name).map { String(cString: $0) } }

  /// Reads Open MPI's variables, then those of a Slurm step; without either it is a job of one rank.
  init(variable: (String) -> String?) {
    func integer(_ name: String) -> Int? { variable(name).flatMap { Int($0) } }
    if let size = integer("OMPI_COMM_WORLD_SIZE") {
      launcher = .mpirun
      hasProcessManager = true
      self.size = size
      rank = integer("OMPI_COMM_WORLD_RANK") ?? 0
      localRank = integer("OMPI_COMM_WORLD_LOCAL_RANK") ?? 0
      localSize = integer("OMPI_COMM_WORLD_LOCAL_SIZE") ?? 1
    } else if let size = integer("SLURM_STEP_NUM_TASKS") {
      launcher = .srun
      hasProcessManager = variable("PMIX_RANK") != nil || variable("PMI_FD") != nil
      self.size = size
      rank = integer("SLURM_PROCID") ?? 0
      localRank = integer("SLURM_LOCALID") ?? 0
      localSize = variable("SLURM_STEP_TASKS_PER_NODE").map(LaunchEnvironment.maxTasks) ?? 1
    } else {
      launcher = .none
      hasProcessManager = false
      (size, rank, localRank, localSize) = (1, 0, 0, 1)
    }
  }

  /// The error for a process of a Slurm step without a process manager, with the command to type instead; nil when it
  /// can run.
  ///
  /// - Parameters:
  ///   - arguments: the process's, the program first.
  ///   - isTask: whether Slurm itself started the process, as `srun PROGRAM` does; else it was typed in a shell of the
  ///     step.
  ///   - isInteractive: whether standard input is a terminal.
  func refusal(arguments: [String], isTask: Bool, isInteractive: Bool) -> String? {
    guard launcher == .srun, !hasProcessManager else { return nil }
    // A script that srun starts several times is not an interactive shell.
    if isTask || (size > 1 && !isInteractive) {
      return "srun starts MPI programs only with the option --mpi=pmix; add it"
    }
    let line = arguments.map(Self.quoted).joined(separator: " ")
    return "a step of Slurm, as this shell is, starts no MPI program by itself; type: mpirun -n \(size) \(line)"
  }

  /// Quotes `word` for a shell.
  private static func quoted(_ word: String) -> String {
    let plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
    guard word.isEmpty || !word.allSatisfy(plain.contains) else { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  /// The largest number in Slurm's notation for tasks per node: 4 in `4(x2),3`.
  static func maxTasks(in tasksPerNode: String) -> Int {
    tasksPerNode.split(separator: ",").compactMap { Int($0.prefix { $0 != "(" }) }.max() ?? 1
  }
}
