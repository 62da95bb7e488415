import CKernels
import Support
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A CPU kernel family: a set of floating-point kernels, OpenBLAS's and ours. Runs agree bit for bit within a family.
public struct KernelFamily: Sendable, Equatable, CustomStringConvertible {
  /// `skylakex` (AVX-512, Intel and AMD), `haswell` (AVX2; also OpenBLAS's `zen`, whose kernels are the same), or
  /// OpenBLAS's core name in lower case.
  public let name: String
  let table: ck_table

  public var description: String { name }

  public static func == (left: KernelFamily, right: KernelFamily) -> Bool { left.name == right.name }

  /// The families that `run.kernel_family` may name on this CPU.
  public static var choices: [String] { ["haswell", "skylakex"].filter { ck_table_named($0) != nil } }

  /// The family in use by this process.
  public static let current: KernelFamily = {
    let name = familyName(ofCore: library.core)
    let tableName = name == "cooperlake" || name == "sapphirerapids" ? "skylakex" : name
    guard let table = ck_table_named(tableName) ?? ck_table_named("baseline") else {
      preconditionFailure("the baseline kernels are missing from this build")
    }
    return KernelFamily(name: name, table: table.pointee)
  }()

  /// OpenBLAS as loaded by this process: with the pinned kernels, else those of `OPENBLAS_CORETYPE`, else the best for
  /// this CPU.
  static let library: OpenBLAS = {
    let requested = pinned.withLock { $0 }
    let cores = ["skylakex": "SkylakeX", "haswell": "Haswell"]
    let hasChosen = getenv("OPENBLAS_CORETYPE") != nil
    let best = hasChosen ? nil : String(cString: ck_best_family())
    let family = requested.flatMap { choices.contains($0) ? $0 : nil } ?? best
    do throws(ForgeError) { return try OpenBLAS(core: family.flatMap { cores[$0] }) } catch { endProcess(error) }
  }()

  private static let pinned = Mutex<String?>(nil)

  /// OpenBLAS's name and version, for `--version` and the metadata of a run.
  public static var libraryDescription: String {
    library.configuration.split(separator: " ").prefix(2).joined(separator: " ")
  }

  /// A warning for a user whose `OPENBLAS_CORETYPE` selects slower kernels than this CPU's best; else nil.
  public static var advice: String? {
    let best = String(cString: ck_best_family())
    guard let core = getenv("OPENBLAS_CORETYPE"), String(cString: current.table.family) != best else { return nil }
    return "OPENBLAS_CORETYPE is '\(String(cString: core))', so the CPU kernels are '\(current)'; this CPU's best "
      + "are '\(best)': unset it, or set run.kernel_family to keep what you have"
  }

  private static func familyName(ofCore core: String) -> String {
    core.lowercased() == "zen" ? "haswell" : core.lowercased()
  }

  /// Pins the family instead of the best one, so that different CPUs agree bit for bit. Call it first in `main`: after
  /// the first use of a kernel it has no effect.
  ///
  /// - Parameter family: ignored if this CPU lacks it; compare with `current` afterwards.
  public static func pin(_ family: String?) {
    pinned.withLock { $0 = family }
  }
}
