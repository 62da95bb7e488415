import Kernels

/// The exact sum of the gradients of a rank's micro-batches: one 64-bit fixed-point number per parameter.
///
/// Integers add exactly, so neither the order of the micro-batches nor their distribution over ranks leaves a trace.
public final class GradientAccumulator {
  public let memory: Arena<Int64>
  /// `[parameters]`
  public var sums: Buffer<Int64> { memory.buffer }
  /// Whether a contribution was refused since the last `reset`: the step must then be skipped, on all ranks alike.
  public private(set) var hasRefused = false
  /// What one micro-batch may contribute to one element: the range divided by the micro-batches of the global batch.
  public let limit: Float

  /// - Parameters:
  ///   - count: elements of the parameter arena.
  ///   - microBatches: micro-batches in the global batch.
  public init(count: Int, microBatches: Int) {
    memory = Arena(count: count)
    limit = FixedPoint.range / Float(microBatches)
  }

  public func reset() {
    memory.buffer.fill(0)
    hasRefused = false
  }

  func add(_ gradient: Buffer<Float>, at range: Range<Int>, compute: Compute) {
    if !compute.accumulate(gradient, into: sums[range], limit: limit / 2) { hasRefused = true }
  }

  /// Adds each token's row to the row of its id. Several tokens may share a row, so each may contribute its share only.
  func add(rows: Matrix, ids: Buffer<Int32>, at range: Range<Int>, compute: Compute) {
    let limit = limit / 2 / Float(rows.rows)
    if !compute.accumulateRows(rows, ids: ids, into: sums[range], limit: limit) { hasRefused = true }
  }
}
