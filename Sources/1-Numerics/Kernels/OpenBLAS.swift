import CKernels
import Support

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Bindings of OpenBLAS, loaded by `dlopen` at the first use of a kernel.
///
/// It is not linked, because it fixes at load time, from its environment, which kernels it runs (0.3.21 takes newer
/// Intel CPUs for a Prescott, five times slower) and how many threads it starts; where a container permits none of
/// these, it ends the process.
struct OpenBLAS: Sendable {
  /// `cblas_sgemm`, with the enumerations of `cblas.h` as numbers.
  typealias Product =
    @convention(c) (
      Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>?, Int32, UnsafePointer<Float>?, Int32,
      Float, UnsafeMutablePointer<Float>?, Int32
    ) -> Void
  private typealias Text = @convention(c) () -> UnsafePointer<CChar>?
  private typealias SetCount = @convention(c) (Int32) -> Void

  static let rowMajor: Int32 = 101
  static let asIs: Int32 = 111
  static let transposed: Int32 = 112

  let product: Product
  /// The core name of the kernels in use: `SkylakeX`.
  let core: String
  /// `OpenBLAS 0.3.21 …`
  let configuration: String

  /// File names of the library with 32-bit integers, in the distributions.
  private static let names = ["libopenblas.so.0", "libopenblas.so"]

  /// Loads the library with one thread per call; parallelism is the thread team's.
  ///
  /// - Parameter core: the kernels to run; nil leaves the choice to the library and to `OPENBLAS_CORETYPE`.
  /// - Throws: ``Support/ForgeError`` (bad input) when this machine lacks it.
  init(core wanted: String?) throws(ForgeError) {
    let overrides = [("OPENBLAS_NUM_THREADS", Optional("1")), ("OPENBLAS_CORETYPE", wanted)]
    let former = overrides.map { name, _ in getenv(name).map { String(cString: $0) } }
    for case (let name, let value?) in overrides { setenv(name, value, 1) }
    // Restores the environment for child processes.
    defer {
      for ((name, wish), value) in zip(overrides, former) where wish != nil {
        if let value { setenv(name, value, 1) } else { unsetenv(name) }
      }
    }
    guard let library = Self.names.lazy.compactMap({ dlopen($0, RTLD_NOW | RTLD_LOCAL) }).first else {
      let reason = dlerror().map { String(cString: $0) } ?? Self.names[0]
      throw .badInput(
        "OpenBLAS cannot be loaded (\(reason))", hint: "install it (on Debian: libopenblas0)", code: .unsupportedMachine
      )
    }
    func function<F>(_ name: String, _: F.Type) throws(ForgeError) -> F {
      guard let symbol = dlsym(library, name) else {
        throw .badInput("this OpenBLAS has no function '\(name)'", code: .unsupportedMachine)
      }
      return unsafeBitCast(symbol, to: F.self)
    }
    product = try function("cblas_sgemm", Product.self)
    try function("openblas_set_num_threads", SetCount.self)(1)
    core = try function("openblas_get_corename", Text.self)().map { String(cString: $0) } ?? ""
    configuration = try function("openblas_get_config", Text.self)().map { String(cString: $0) } ?? ""
  }
}
