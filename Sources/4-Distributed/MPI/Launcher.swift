internal import COpenMPI
internal import Diagnostics
import Glibc
internal import Support

/// Starts MPI, runs a program on every rank of a job, and ends all ranks together when one fails.
///
/// Works under `mpirun`, under `srun --mpi=pmix`, and without a launcher as a job of one rank.
public enum Launcher {
  /// Initialises MPI for use by several threads, runs `body` on every rank, and ends the process.
  ///
  /// When `body` returns on every rank, the job ends with the max of the returned exit codes. When it throws, one
  /// sentence goes to standard error and the job ends within seconds with the error's exit code: that of a `ForgeError`
  /// or an `MPIError`, and 70 for anything else. The same error on every rank, such as a wrong setting, is printed
  /// once; an error of some ranks is printed by the lowest of them, with its rank and host.
  ///
  /// - Parameters:
  ///   - program: the name that begins the sentence, such as `forge-dist`.
  ///   - threads: the compute threads of each rank, if known; one is added for communication.
  ///   - body: the program; its argument is the communicator of all ranks.
  public static func run(program: String, threads: Int = 1, _ body: (Communicator) throws -> Int32) -> Never {
    let environment = LaunchEnvironment.current
    let refusal = environment.refusal(
      arguments: CommandLine.arguments, isTask: ProcessTable.parentName == "slurmstepd",
      isInteractive: isatty(STDIN_FILENO) == 1)
    if let refusal {
      if environment.rank == 0 { log("\(program): \(refusal)") }
      leave(64)
    }
    ProcessHeap.returnFreedBlocks()
    ProcessorAffinity.yieldWhenCrowded(threads: threads + 1)
    boundSharedMemory()
    let world: Communicator
    let failures: FailureConsensus
    do {
      // MPI ends the process without our message when it cannot start its own threads.
      try SystemThread.expectRoom(for: environment.launcher == .none ? aloneThreads : rankThreads)
      world = try initialize()
      failures = try FailureConsensus(world: world)
    } catch {
      let place = environment.size > 1 ? "rank \(environment.rank) (host \(hostName)): " : ""
      log("\(program): \(place)\(error)")
      leave(exitCode(of: error))
    }
    do {
      let code = try world.allReduce(body(world), .max)
      FlightRecorder.installed?.end(.normal, exitCode: code)
      // After a nonzero exit code of a normal end mpirun would print a notice of its own.
      guard code != 0 && environment.launcher == .mpirun else { finalizeAndLeave(code) }
      endJob(code: code, isLeader: world.rank == 0)
    } catch {
      let ending: FlightRecorder.Ending = error is MPIError ? .consequence : .failure
      FlightRecorder.installed?.end(ending, exitCode: exitCode(of: error), sentence: "\(error)")
      let verdict = failures.settle("\(error)", exitCode: exitCode(of: error))
      if verdict.reports {
        log("\(program): \(verdict.namesRank ? "rank \(world.rank) (host \(hostName)): " : "")\(error)")
      }
      endJob(code: verdict.exitCode, isLeader: verdict.reports)
    }
  }

  /// The threads that MPI starts: in a launched rank, and without a launcher, where it starts a daemon too.
  private static let (rankThreads, aloneThreads) = (4, 12)

  /// The host name of this rank.
  public static var hostName: String { ProcessTable.hostName }

  /// Aborts all ranks of the job, from any thread, even while other threads hang in MPI.
  ///
  /// - Parameters:
  ///   - code: not 0.
  ///   - sentence: printed to standard error first; nil when another rank prints it.
  public static func abortJob(code: Int32, sentence: String?) -> Never {
    if let sentence { log(sentence) }
    if LaunchEnvironment.current.launcher == .none { _exit(code) }
    // The abort itself may hang; the alarm does not.
    signal(SIGALRM, SIG_DFL)
    alarm(10)
    usleep(50_000)  // lets the launcher collect what was printed
    forge_mpi_abort(code)
    _exit(code)
  }

  /// Limits Open MPI's shared-memory slots for small messages (MemoryPlan counts them). By default Open MPI adds slots
  /// up to 512 while receivers are behind, and each rank that reads them has them in its memory: at 64 ranks of a node
  /// they were more than all else. Does not override a value set by the user.
  private static func boundSharedMemory() {
    setenv("OMPI_MCA_btl_vader_free_list_max", "72", 0)
    setenv("OMPI_MCA_btl_vader_free_list_inc", "8", 0)
  }

  private static func initialize() throws -> Communicator {
    var provided: Int32 = 0
    try check(MPI_Init_thread(nil, nil, Int32(MPI_THREAD_MULTIPLE), &provided), "MPI_Init_thread")
    guard provided == Int32(MPI_THREAD_MULTIPLE) else {
      throw ForgeError.badInput("this MPI library lacks MPI_THREAD_MULTIPLE; use one that was built with it")
    }
    return Communicator(try MPITransport.world(), name: "world", parent: nil)
  }

  private static func exitCode(of error: any Error) -> Int32 {
    switch error {
    case let error as ForgeError: error.exitCode
    case let error as MPIError: error.exitCode
    default: 70
    }
  }

  /// Ends every rank of the job with `code`, which is not 0.
  ///
  /// After a normal exit `mpirun` would explain the code in eleven lines and `MPI_Abort` in eight; the abort inside the
  /// latter is silent. The other ranks leave it to the leader for three seconds, then abort as well.
  private static func endJob(code: Int32, isLeader: Bool) -> Never {
    if LaunchEnvironment.current.launcher == .none { finalizeAndLeave(code) }
    fflush(nil)
    usleep(isLeader ? 50_000 : 3_000_000)  // lets the launcher collect what was printed
    forge_mpi_abort(code)
    leave(code)
  }

  private static func finalizeAndLeave(_ code: Int32) -> Never {
    MPI_Finalize()
    leave(code)
  }

  private static func leave(_ code: Int32) -> Never {
    fflush(nil)
    exit(code)
  }

  private static func log(_ sentence: String) {
    fflush(nil)
    let line = Array((sentence + "\n").utf8)
    // One write, so that the lines of several ranks do not mix.
    _ = write(STDERR_FILENO, line, line.count)
  }
}
