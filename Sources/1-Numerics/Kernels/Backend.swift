import CKernels

/// The compute backend: a CPU kernel family, a thread team and scratch memory per thread.
///
/// The kernels are its methods, one topic a file. They are pure: they read and write only their arguments. Each
/// partitions its work by shape alone, so its bits do not depend on the number of threads.
public final class Backend: Sendable {
  public let team: ThreadTeam
  public let family: KernelFamily
  public let matrixBackend: MatrixBackend
  private let scratch: Arena<Float>
  private let rowScratch: Arena<Float>
  private let products: Arena<Float>
  private let attentionMemory: Arena<Float>

  /// Floats of scratch memory for each thread: two blocks of attention scores and their row statistics.
  static let scratchPerThread = 2 * queryBlock * keyBlock + 4 * queryBlock

  /// Bytes per thread: scratch memory, and the packing buffers that OpenBLAS touches in a product.
  public static let plannedBytesPerThread = 4 * scratchPerThread + 8 << 20

  /// - Parameter threads: at least 1; see `ThreadTeam.shortage` when the system starts fewer.
  public init(threads: Int, matrixBackend: MatrixBackend = .openblas) {
    team = ThreadTeam(count: threads)
    family = KernelFamily.current
    self.matrixBackend = matrixBackend
    scratch = Arena(count: team.count * Self.scratchPerThread)
    rowScratch = Arena(count: team.count * MatrixProduct.rowScratch)
    products = Arena(count: team.count * Self.productScratch)
    attentionMemory = Arena(count: team.count * Self.attentionScratch)
  }

  var table: ck_table { family.table }

  func scratch(_ thread: Int) -> Buffer<Float> {
    scratch.buffer[thread * Self.scratchPerThread..<(thread + 1) * Self.scratchPerThread]
  }

  /// A thread's padded rows of `MatrixProduct.multiplyRows`; only pages in use take memory.
  func rowScratch(_ thread: Int) -> Buffer<Float> {
    rowScratch.buffer[thread * MatrixProduct.rowScratch..<(thread + 1) * MatrixProduct.rowScratch]
  }

  /// A thread's scratch memory for a tile of a product by our own kernels.
  func productScratch(_ thread: Int) -> Buffer<Float> {
    products.buffer[thread * Self.productScratch..<(thread + 1) * Self.productScratch]
  }

  /// Heads are at most this wide.
  static let attentionScratch = DocumentAttention.Scratch.floats(dimension: 1024)

  /// A thread's scratch memory for attention; only pages in use take memory.
  func attentionMemory(_ thread: Int) -> Buffer<Float> {
    attentionMemory.buffer[thread * Self.attentionScratch..<(thread + 1) * Self.attentionScratch]
  }

  /// Rows per task of a token-wise loop: enough to hide the scheduling, few enough to balance.
  static let rowsPerTask = 32
  /// Columns per task of a sum over rows.
  static let columnsPerTask = 64
  /// Elements per task of an element-wise loop.
  static let elementsPerTask = 1 << 15
}
