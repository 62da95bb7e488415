internal import COpenMPI
import Glibc

/// CPU affinity: the cores that this process may use.
///
/// `mpirun` silently binds each rank of a small job, with all of its threads, to one core.
public enum ProcessorAffinity {
  /// The cores that the calling thread, and the threads it starts, may run on.
  public static var allowedCores: Int {
    var set = cpu_set_t()
    guard forge_sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return onlineCores }
    return withUnsafeBytes(of: &set) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
  }

  /// The cores of the machine.
  public static var onlineCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Undoes a binding made by `mpirun` when it allows fewer than `threads` cores, for the calling thread and those it
  /// starts later. Call it before starting threads.
  ///
  /// - Returns: a warning, with a remedy, when cores are still oversubscribed.
  public static func makeRoom(forThreads threads: Int) -> String? {
    if threads > allowedCores, getenv("OMPI_MCA_orte_bound_at_launch") != nil {
      var everything = cpu_set_t()
      withUnsafeMutableBytes(of: &everything) { bytes in
        for index in bytes.indices { bytes[index] = 0xff }
      }
      // The kernel restricts this to the job's control group. On an error the binding stays, which is reported below.
      _ = forge_sched_setaffinity(0, MemoryLayout<cpu_set_t>.size, &everything)
    }
    let cores = allowedCores
    let ranks = LaunchEnvironment.current.localSize
    if threads > cores {
      return "\(threads) threads share \(cores) core\(cores == 1 ? "" : "s"), which is slow; "
        + "use fewer threads, or start mpirun with --bind-to none"
    }
    if threads * ranks > onlineCores {
      return
        "\(ranks) ranks of \(threads) thread\(threads == 1 ? "" : "s") share the \(onlineCores) cores of this node, "
        + "which is slow; use fewer ranks or threads"
    }
    return nil
  }

  /// Makes waiting MPI calls yield instead of spinning when this node has fewer cores than busy threads. Call it before
  /// `MPI_Init`; it does not override a value set by the user.
  ///
  /// - Parameter threads: the threads of a rank that compute or communicate at the same time.
  static func yieldWhenCrowded(threads: Int) {
    let isCrowded = threads > allowedCores || threads * LaunchEnvironment.current.localSize > onlineCores
    if isCrowded { setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0) }
  }
}
