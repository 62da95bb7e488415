import CKernels

/// Where numbers are computed: a kernel family, a team of threads and each thread's scratch memory.
///
/// The kernels are this type's methods, a topic a file. They are pure: what they read and write is in their arguments.
/// Every one cuts its work by shape alone, so that its bits do not depend on the number of threads.
public final class Backend: Sendable {
  public let team: ThreadTeam
  public let family: KernelFamily
  private let scratch: Arena<Float>
  private let rowScratch: Arena<Float>

  /// Floats of scratch memory for each thread: two blocks of attention scores and their row statistics.
  static let scratchPerThread = 2 * queryBlock * keyBlock + 4 * queryBlock

  /// Bytes that a thread brings with it: scratch memory, and the packing buffers that OpenBLAS touches in a product.
  public static let plannedBytesPerThread = 4 * scratchPerThread + 8 << 20

  /// - Parameter threads: threads to compute with, at least 1; `team` says whether the system started them all.
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

  /// A thread's padded rows of `MatrixProduct.multiplyRows`; only as much as is used takes memory.
  func rowScratch(_ thread: Int) -> Buffer<Float> {
    rowScratch.buffer[thread * MatrixProduct.rowScratch..<(thread + 1) * MatrixProduct.rowScratch]
  }

  /// Rows of a token-wise loop that make one task: big enough to hide the hand-over, small enough to balance.
  static let rowsPerTask = 32
  /// Columns of a sum over rows that make one task.
  static let columnsPerTask = 64
  /// Elements of an element-wise loop that make one task.
  static let elementsPerTask = 1 << 15
}
