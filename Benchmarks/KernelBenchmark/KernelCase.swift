import Kernels

/// A kernel, its operands, and its bound on the machine.
struct KernelCase {
  /// What a kernel is measured against. One whose operands stay in the cache for a part may be a little faster.
  enum Bound: String {
    /// Independent fused multiply-adds, by registers alone.
    case arithmetic
    /// Memory bandwidth of a sum in place: a core's reads and writes.
    case memory
  }

  let name: String
  let bound: Bound
  /// Of one call: floating-point operations of matrix products, or the minimum of bytes read and written.
  let work: Double
  /// Restores operands that a call overwrites; not timed.
  var prepare: () -> Void = {}
  let call: () -> Void
}

/// Memory for operands, filled with numbers between −1 and 1 that are the same in every run.
///
/// It keeps all its arenas: buffers are valid while it is alive.
final class Operands {
  private var arenas: [Any] = []
  private var state: UInt64 = 1

  func floats(_ count: Int, scale: Float = 1) -> Buffer<Float> {
    let arena = Arena<Float>(count: count)
    for index in 0..<count { arena.buffer[index] = scale * next() }
    arenas.append(arena)
    return arena.buffer
  }

  func matrix(_ rows: Int, _ columns: Int, scale: Float = 1) -> Matrix {
    floats(rows * columns, scale: scale).matrix(rows, columns)
  }

  /// Zeros, or what a function gives for an index.
  func integers<Element: FixedWidthInteger & BitwiseCopyable>(
    _ count: Int, _ value: (Int) -> Element = { _ in 0 }
  ) -> Buffer<Element> {
    let arena = Arena<Element>(count: count)
    for index in 0..<count { arena.buffer[index] = value(index) }
    arenas.append(arena)
    return arena.buffer
  }

  /// A linear congruential generator (Knuth's MMIX), of which the upper bits are used.
  private func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
  }
}
