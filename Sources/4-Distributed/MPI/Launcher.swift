internal import COpenMPI
internal import Diagnostics
import Glibc
internal import Support
import Synchronization

/// Initialises MPI, runs a program on every rank of a job, and ends all ranks together when one fails.
///
/// Works under `mpirun`, under `srun --mpi=pmix`, and without a launcher as a job of one rank.
public enum Launcher {
  /// The failure of a job, as passed to a ``Format``.
  public struct Failure {
    /// The message for standard error, without the program's name.
    public let sentence: String
    /// The thrown error; nil if the launcher rejects the way that the job was started.
    public let error: (any Error)?
    public let exitCode: Int32

    public init(sentence: String, error: (any Error)?, exitCode: Int32) {
      (self.sentence, self.error, self.exitCode) = (sentence, error, exitCode)
    }
  }

  /// Formats a failure as a line for standard output.
  public typealias Format = @Sendable (Failure) -> String

  private static let reporting = Mutex<(program: String, format: Format?)>(("", nil))

  /// Initialises MPI for use by several threads, runs `body` on every rank, and ends the process.
  ///
  /// When `body` returns on every rank, the job ends with the max of the returned exit codes. When it throws, one
  /// message goes to standard error and the job ends within seconds with the error's exit code: that of a `ForgeError`
  /// or an `MPIError`, and 70 for any other. The same error on every rank, such as a wrong setting, is printed
  /// once; an error of some ranks is printed by the lowest of them, with its rank and host.
  ///
  /// - Parameters:
  ///   - program: the name that begins the message, such as `forge-dist`.
  ///   - threads: the number of compute threads of each rank, if known; one more communicates.
  ///   - format: formats a failure for standard output; nil for none.
  ///   - body: the program; its argument is the communicator of all ranks.
  public static func run(
    program: String, threads: Int = 1, format: Format? = nil, _ body: (Communicator) throws -> Int32
  ) -> Never {
    reporting.withLock { $0 = (program, format) }
    let environment = LaunchEnvironment.current
    let refusal = environment.refusal(
      arguments: CommandLine.arguments, isTask: ProcessTable.parentName == "slurmstepd",
      isInteractive: isatty(STDIN_FILENO) == 1)
    if let refusal {
      if environment.rank == 0 { log(Failure(sentence: refusal, error: nil, exitCode: 64)) }
      leave(64)
    }
    ProcessHeap.returnFreedBlocks()
    ProcessorAffinity.yieldWhenCrowded(threads: threads + 1)
    boundSharedMemory()
    let world: Communicator
    let failures: FailureConsensus
    do {
      // Checked first: MPI would end the process with its own message when it cannot start its threads.
      try SystemThread.expectRoom(for: environment.launcher == .none ? aloneThreads : rankThreads)
      world = try initialize()
      failures = try FailureConsensus(world: world)
    } catch {
      let place = environment.size > 1 ? "rank \(environment.rank) (host \(hostName)): " : ""
      log(Failure(sentence: "\(place)\(error)", error: error, exitCode: exitCode(of: error)))
      leave(exitCode(of: error))
    }
    do {
      let code = try world.allReduce(body(world), .max)
      FlightRecorder.installed?.end(.normal, exitCode: code)
      // mpirun would print its own notice about a nonzero exit code after a normal exit.
      guard code != 0 && environment.launcher == .mpirun else { finalizeAndLeave(code) }
      endJob(code: code, isLeader: world.rank == 0)
    } catch {
      let ending: FlightRecorder.Ending = error is MPIError ? .consequence : .failure
      FlightRecorder.installed?.end(ending, exitCode: exitCode(of: error), sentence: "\(error)")
      let verdict = failures.settle("\(error)", exitCode: exitCode(of: error))
      if verdict.reports {
        let place = verdict.namesRank ? "rank \(world.rank) (host \(hostName)): " : ""
        log(Failure(sentence: "\(place)\(error)", error: error, exitCode: verdict.exitCode))
      }
      endJob(code: verdict.exitCode, isLeader: verdict.reports)
    }
  }

  /// The number of threads that MPI starts: in a launched rank, and without a launcher, where it starts a daemon too.
  private static let (rankThreads, aloneThreads) = (4, 12)

  /// The host name of this rank.
  public static var hostName: String { ProcessTable.hostName }

  /// Aborts all ranks of the job, from any thread, even while other threads hang in MPI.
  ///
  /// - Parameter failure: printed first; its exit code is not 0.
  public static func abortJob(_ failure: Failure) -> Never {
    let code = failure.exitCode
    log(failure)
    if LaunchEnvironment.current.launcher == .none { _exit(code) }
    // The abort itself may hang; the alarm then ends the process.
    signal(SIGALRM, SIG_DFL)
    alarm(10)
    usleep(50_000)  // lets the launcher collect what was printed
    forge_mpi_abort(code)
    _exit(code)
  }

  /// Limits Open MPI's shared-memory slots for small messages (counted by `MemoryPlan`).
  ///
  /// By default Open MPI adds up to 512 slots while receivers are behind, and they count as memory of each rank that
  /// reads them: at 64 ranks on a node they took more than everything else. Keeps a value set by the user.
  private static func boundSharedMemory() {
    setenv("OMPI_MCA_btl_vader_free_list_max", "72", 0)
    setenv("OMPI_MCA_btl_vader_free_list_inc", "8", 0)
  }

  private static func initialize() throws -> Communicator {
    var provided: Int32 = 0
    try check(MPI_Init_thread(nil, nil, Int32(MPI_THREAD_MULTIPLE), &provided), "MPI_Init_thread")
    guard provided == Int32(MPI_THREAD_MULTIPLE) else {
      throw ForgeError.badInput(
        "this MPI library lacks MPI_THREAD_MULTIPLE", hint: "use one that was built with it", code: .unsupportedMachine)
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
  /// After a normal exit `mpirun` prints eleven lines about the code, and after `MPI_Abort` eight; the abort function
  /// inside `MPI_Abort` prints nothing. The other ranks wait three seconds for the leader, then abort as well.
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

  /// Logs a failure: its message to standard error and, with a format, a line to standard output.
  private static func log(_ failure: Failure) {
    let (program, format) = reporting.withLock { $0 }
    if let format { log(format(failure), to: STDOUT_FILENO) }
    log("\(program): \(failure.sentence)", to: STDERR_FILENO)
  }

  private static func log(_ text: String, to descriptor: Int32) {
    fflush(nil)
    let line = Array((text + "\n").utf8)
    // One write, so that the lines of several ranks do not mix.
    _ = write(descriptor, line, line.count)
  }
}
