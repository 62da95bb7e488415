import Kernels

/// Where a decoder's gradients go, a micro-batch at a time.
public protocol GradientAccumulator: AnyObject {
  /// Adds a micro-batch's gradient of a range of the parameter arena.
  func add(_ gradient: Buffer<Float>, at range: Range<Int>, backend: Backend)
  /// Adds each token's row to the row of its id: `rows` `[tokens, hidden]`, `ids` `[tokens]`, `range` a matrix of rows.
  func add(rows: Matrix, ids: Buffer<Int32>, at range: Range<Int>, backend: Backend)
}

/// The exact sum of the gradients of a rank's micro-batches: one 64-bit fixed-point number per parameter.
///
/// Integers add exactly, so neither the order of the micro-batches nor their distribution over ranks leaves a trace.
public final class FixedPointGradientAccumulator: GradientAccumulator {
  public let memory: Arena<Int64>
  /// `[parameters]`
  public var sums: Buffer<Int64> { memory.buffer }
  /// Whether a contribution was refused since the sum began: the step must then be skipped, on all ranks alike.
  public private(set) var hasOverflowed = false
  /// What one micro-batch may contribute to one element: the range divided by the micro-batches of the global batch.
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

  /// Begins a new sum by writing zeros.
  ///
  /// - Parameter ranges: all elements that may not be zero.
  public func reset(_ ranges: [Range<Int>], backend: Backend) {
    for range in ranges { zero(range, backend) }
    written = WrittenRanges(0..<sums.count)
    hasOverflowed = false
  }

  /// Begins a new sum without writing zeros: an element's first contribution replaces what is there. Whoever reads the
  /// sums calls `complete` before.
  public func restart() {
    written = WrittenRanges()
    hasOverflowed = false
  }

  /// Writes zeros to what nobody has added to since `restart`.
  public func complete(_ range: Range<Int>, backend: Backend) {
    for range in written.insert(range) { zero(range, backend) }
  }

  private func zero(_ range: Range<Int>, _ backend: Backend) {
    let sums = sums[range]
    // By the threads that will add to them, so that on a machine with several memories the pages are near.
    backend.team.forEachChunk(of: sums.count, size: 1 << 18) { part, _ in sums[part].fill(0) }
  }

  public func add(_ gradient: Buffer<Float>, at range: Range<Int>, backend: Backend) {
    let unwritten = written.insert(range)
    let isFirst = unwritten == [range]
    if !isFirst { unwritten.forEach { zero($0, backend) } }
    if !backend.accumulate(gradient, into: sums[range], limit: limit / 2, replacing: isFirst) { hasOverflowed = true }
  }

  // Several tokens may share a row, so each may contribute its share only.
  public func add(rows: Matrix, ids: Buffer<Int32>, at range: Range<Int>, backend: Backend) {
    guard rows.rows > 0 else { return }
    complete(range, backend: backend)
    let limit = limit / 2 / Float(rows.rows)
    if !backend.accumulateRows(rows, ids: ids, into: sums[range], limit: limit) { hasOverflowed = true }
  }
}

/// Which elements of a sum have been written since it began; in the others its memory holds an older sum.
package struct WrittenRanges {
  private var written: RangeSet<Int>

  package init(_ range: Range<Int> = 0..<0) { written = RangeSet(range) }

  /// - Returns: what of `range` had not been written.
  package mutating func insert(_ range: Range<Int>) -> [Range<Int>] {
    let unwritten = RangeSet(range).subtracting(written)
    written.insert(contentsOf: range)
    return Array(unwritten.ranges)
  }
}
