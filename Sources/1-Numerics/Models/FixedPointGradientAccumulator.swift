import Kernels

/// Gradient accumulation: adds a decoder's gradients up, a micro-batch at a time.
public protocol GradientAccumulator: AnyObject {
  /// Adds a micro-batch's gradient of a range of the parameter arena.
  func add(_ gradient: Buffer<Float>, at range: Range<Int>, backend: Backend)
  /// Scatter-adds each token's row to the row of its id: `rows` `[tokens, hidden]`, `ids` `[tokens]`, `range` a matrix
  /// of rows.
  func add(rows: Matrix, ids: Buffer<Int32>, at range: Range<Int>, backend: Backend)
}

/// Exact gradient accumulation over a rank's micro-batches: one 64-bit fixed-point number per parameter.
///
/// Integers add exactly, so the result depends neither on the order of the micro-batches nor on their distribution over
/// ranks.
public final class FixedPointGradientAccumulator: GradientAccumulator {
  public let memory: Arena<Int64>
  /// `[parameters]`
  public var sums: Buffer<Int64> { memory.buffer }
  /// Whether a contribution overflowed or was not finite since the sum began; the step must then be skipped, on all
  /// ranks.
  public private(set) var hasOverflowed = false
  /// The bound of one micro-batch's contribution to an element: the range divided by the micro-batches of the global
  /// batch. One `add` may use half of it, since a tied embedding gets two.
  public let limit: Float
  private var written: WrittenRanges

  /// - Parameters:
  ///   - count: elements of the parameter arena.
  ///   - microBatches: micro-batches in the global batch.
  ///   - hugePages: see `Arena`.
  public init(count: Int, microBatches: Int, hugePages: Bool = true) {
    memory = Arena(count: count, hugePages: hugePages)
    limit = FixedPoint.range / Float(microBatches)
    written = WrittenRanges(0..<count)
  }

  /// Begins a new sum and writes zeros.
  ///
  /// - Parameter ranges: all elements that may be non-zero.
  public func reset(_ ranges: [Range<Int>], backend: Backend) {
    for range in ranges { zero(range, backend) }
    written = WrittenRanges(0..<sums.count)
    hasOverflowed = false
  }

  /// Begins a new sum without writing zeros: an element's first contribution overwrites it. Call `complete` before
  /// reading the sums.
  public func restart() {
    written = WrittenRanges()
    hasOverflowed = false
  }

  /// Writes zeros to elements without a contribution since `restart`.
  public func complete(_ range: Range<Int>, backend: Backend) {
    for range in written.insert(range) { zero(range, backend) }
  }

  private func zero(_ range: Range<Int>, _ backend: Backend) {
    let sums = sums[range]
    // By the threads that add to them (first touch), so that on a NUMA machine the pages are local.
    backend.team.forEachChunk(of: sums.count, size: 1 << 18) { part, _ in sums[part].fill(0) }
  }

  public func add(_ gradient: Buffer<Float>, at range: Range<Int>, backend: Backend) {
    let unwritten = written.insert(range)
    let isFirst = unwritten == [range]
    if !isFirst { unwritten.forEach { zero($0, backend) } }
    if !backend.accumulate(gradient, into: sums[range], limit: limit / 2, replacing: isFirst) { hasOverflowed = true }
  }

  // Several tokens may have the same id, so the limit is divided by the tokens.
  public func add(rows: Matrix, ids: Buffer<Int32>, at range: Range<Int>, backend: Backend) {
    guard rows.rows > 0 else { return }
    complete(range, backend: backend)
    let limit = limit / 2 / Float(rows.rows)
    if !backend.accumulateRows(rows, ids: ids, into: sums[range], limit: limit) { hasOverflowed = true }
  }
}

/// The elements of a sum that were written since it began; the others hold an older sum.
package struct WrittenRanges {
  private var written: RangeSet<Int>

  package init(_ range: Range<Int> = 0..<0) { written = RangeSet(range) }

  /// - Returns: the parts of `range` that had not been written.
  package mutating func insert(_ range: Range<Int>) -> [Range<Int>] {
    let unwritten = RangeSet(range).subtracting(written)
    written.insert(contentsOf: range)
    return Array(unwritten.ranges)
  }
}
