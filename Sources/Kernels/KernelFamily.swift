import CKernels
import COpenBLAS

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Which set of floating-point kernels computes: OpenBLAS's and ours together. Runs agree bit for bit within a family.
public struct KernelFamily: Sendable, Equatable, CustomStringConvertible {
  /// `skylakex` (AVX-512, Intel's and AMD's), `haswell` (AVX2; also AMD Zen, whose OpenBLAS kernels are the same), or
  /// OpenBLAS's own name in lower case.
  public let name: String
  let table: ck_table

  public var description: String { name }

  public static func == (left: KernelFamily, right: KernelFamily) -> Bool { left.name == right.name }

  /// The families that `run.kernel_family` may name on this CPU.
  public static var choices: [String] { ["haswell", "skylakex"].filter { ck_table_named($0) != nil } }

  private static let restartMarker = "FORGE_RESTARTED_FOR_KERNELS"

  /// The family in use by this process.
  public static let current: KernelFamily = {
    openblas_set_num_threads(1)  // our team's threads are the only ones
    let name = familyName(ofCore: coreName)
    let tableName = name == "cooperlake" || name == "sapphirerapids" ? "skylakex" : name
    guard let table = ck_table_named(tableName) ?? ck_table_named("baseline") else {
      preconditionFailure("the baseline kernels are missing from this build")
    }
    return KernelFamily(name: name, table: table.pointee)
  }()

  /// OpenBLAS's name and version, for `--version` and the run's record.
  public static var libraryDescription: String {
    String(cString: openblas_get_config()).split(separator: " ").prefix(2).joined(separator: " ")
  }

  /// What to tell a user whose environment makes OpenBLAS slower than this CPU allows; nil when it does not.
  public static var advice: String? {
    let best = String(cString: ck_best_family())
    guard let core = getenv("OPENBLAS_CORETYPE"), getenv(restartMarker) == nil,
      String(cString: current.table.family) != best
    else { return nil }
    return "OPENBLAS_CORETYPE is '\(String(cString: core))', so the CPU kernels are '\(current)'; this CPU's best "
      + "are '\(best)': unset it, or set run.kernel_family to keep what you have"
  }

  private static var coreName: String { String(cString: openblas_get_corename()) }

  private static func familyName(ofCore core: String) -> String {
    core.lowercased() == "zen" ? "haswell" : core.lowercased()
  }

  /// Makes sure that OpenBLAS runs the kernels that suit this CPU, and one thread a call.
  ///
  /// OpenBLAS 0.3.21 takes newer Intel CPUs for a Prescott and runs five times slower. It reads `OPENBLAS_CORETYPE` in
  /// its constructor only, so the program sets the variable and starts itself again, once. Call this first in `main`,
  /// before MPI. A variable that the user has set is left alone.
  ///
  /// - Parameter pinned: a family to use instead of the best one, so that machines of different age agree. One that this
  ///   CPU lacks changes nothing; compare `current` with the wish afterwards.
  public static func prepareProcess(pinned: String? = nil) {
    let wanted = pinned ?? String(cString: ck_best_family())
    let cores = ["skylakex": "SkylakeX", "haswell": "Haswell"]
    guard let core = cores[wanted], ck_table_named(wanted) != nil, familyName(ofCore: coreName) != wanted else {
      return
    }
    if getenv(restartMarker) != nil || (pinned == nil && getenv("OPENBLAS_CORETYPE") != nil) { return }
    setenv("OPENBLAS_CORETYPE", core, 1)
    setenv(restartMarker, "1", 1)
    // By its real path, so that the process keeps its name.
    var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    let isKnown = readlink("/proc/self/exe", &path, Int(PATH_MAX)) > 0
    execv(isKnown ? path : Array("/proc/self/exe".utf8CString), CommandLine.unsafeArgv)
    // Only a failed execv returns: go on with the slower kernels rather than not at all.
  }
}
