import CKernels

/// The compute backend: a CPU kernel family, a thread team and scratch memory per thread.
///
/// The kernels are its methods, one topic a file. They are pure: they read and write only their arguments. Each
/// partitions its work by shape alone, so its bits do not depend on the number of threads.
public final class Backend: Sendable {
  public let team: ThreadTeam
  public let family: KernelFamily
  private let scratch: Arena<Float>
  private let rowScratch: Arena<Float>

  /// Floats of scratch memory for each thread: two blocks of attention scores and their row statistics.
  static let scratchPerThread = 2 * queryBlock * keyBlock + 4 * queryBlock

  /// Bytes per thread: scratch memory, and the packing buffers that OpenBLAS touches in a product.
  public static let plannedBytesPerThread = 4 * scratchPerThread + 8 << 20

  /// - Parameter threads: at least 1; see `ThreadTeam.shortage` when the system starts fewer.
  public init(threads: Int) {
    team = ThreadTeam(count: threads)
    family = KernelFamily.current
    scratch = Arena(count: team.count * Self.scratchPerThread)
    rowScratch = Arena(count: team.count * MatrixProduct.rowScratch)
  }

  var table: ck_table { family.table }

  func scratch(_ thread: Int) -> Buffer<Float> {
    scratch.buffer[thread * Self.scratchPerThread..<(thread + 1) * Self.scratchPerThread]
  }

  /// A thread's padded rows of `MatrixProduct.multiplyRows`; only pages in use take memory.
  func rowScratch(_ thread: Int) -> Buffer<Float> {
    rowScratch.buffer[thread * MatrixProduct.rowScratch..<(thread + 1) * MatrixProduct.rowScratch]
  }

  /// Rows per task of a token-wise loop: enough to hide the scheduling, few enough to balance.
  static let rowsPerTask = 32
  /// Columns per task of a sum over rows.
  static let columnsPerTask = 64
  /// Elements per task of an element-wise loop.
  static let elementsPerTask = 1 << 15
}
