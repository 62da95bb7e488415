import CKernels
import Synchronization

/// 64-bit fixed-point gradients, so that sums are exact and independent of their order (Hallberg & Adcroft 2014, "An
/// order-invariant real-to-integer conversion sum").
public enum FixedPoint {
  /// Resolution 2⁻⁵².
  public static let fractionBits = 52
  /// Sums stay below 2¹¹ in magnitude.
  public static let range: Float = 2048
}

extension Backend {
  /// `accumulator += gradient`, rounded once per element to 2⁻⁵².
  ///
  /// - Parameters:
  ///   - limit: a contribution that is not finite or reaches `limit` overflows: range / M for M contributions.
  ///   - replacing: overwrites the accumulator instead of adding to it.
  /// - Returns: false on an overflow; the accumulator is then invalid and the step must be skipped.
  public func accumulate(
    _ gradient: Buffer<Float>, into accumulator: Buffer<Int64>, limit: Float, replacing: Bool = false
  ) -> Bool {
    precondition(gradient.count == accumulator.count)
    let refused = Atomic<Bool>(false)
    team.forEachChunk(of: gradient.count, size: Self.elementsPerTask) { [table] range, _ in
      let fine = table.accumulate_fixed(
        Int64(range.count), gradient.base + range.lowerBound, limit, accumulator.base + range.lowerBound,
        replacing)
      if !fine { refused.store(true, ordering: .relaxed) }
    }
    return !refused.load(ordering: .relaxed)
  }

  /// The embedding's backward pass into exact sums: scatter-adds each token's gradient row to the row of its id.
  ///
  /// - Parameters: `ids` `[tokens]`, `gradient` `[tokens, hidden]`, `accumulator` `[vocabulary · hidden]`.
  /// - Returns: as `accumulate`; `limit` is per token.
  public func accumulateRows(
    _ gradient: Matrix, ids: Buffer<Int32>, into accumulator: Buffer<Int64>, limit: Float
  ) -> Bool {
    precondition(ids.count == gradient.rows)
    let refused = Atomic<Bool>(false)
    team.forEachChunk(of: gradient.columns, size: Self.columnsPerTask) { [table] columns, _ in
      for row in 0..<gradient.rows {
        let first = Int(ids[row]) * gradient.columns
        let target = accumulator[first + columns.lowerBound..<first + columns.upperBound]
        let fine = table.accumulate_fixed(
          Int64(columns.count), gradient.base + row * gradient.stride + columns.lowerBound, limit, target.base, false)
        if !fine { refused.store(true, ordering: .relaxed) }
      }
    }
    return !refused.load(ordering: .relaxed)
  }

  /// `gradient = accumulator · 2⁻⁵²`, rounded to fp32.
  public func convert(_ accumulator: Buffer<Int64>, to gradient: Buffer<Float>) {
    precondition(accumulator.count == gradient.count)
    team.forEachChunk(of: gradient.count, size: Self.elementsPerTask) { [table] range, _ in
      table.from_fixed(Int64(range.count), accumulator.base + range.lowerBound, gradient.base + range.lowerBound)
    }
  }

  /// The sum of squares of each block of `blockSize` elements, in fp64, by sixteen interleaved chains and a fixed tree;
  /// the last block may be shorter.
  ///
  /// The gradient is converted to fp32 block by block.
  public func sumsOfSquares(_ accumulator: Buffer<Int64>, blockSize: Int, into sums: Buffer<Double>) {
    precondition(sums.count == (accumulator.count + blockSize - 1) / blockSize)
    precondition(blockSize <= Self.scratchPerThread, "block larger than scratch memory")
    team.forEachChunk(of: accumulator.count, size: blockSize) { [self] range, thread in
      let gradient = scratch(thread).base
      table.from_fixed(Int64(range.count), accumulator.base + range.lowerBound, gradient)
      sums[range.lowerBound / blockSize] = table.sum_of_squares(Int64(range.count), gradient)
    }
  }

  /// The same for an fp32 gradient; the baseline of `Benchmarks`.
  public func sumsOfSquares(_ gradient: Buffer<Float>, blockSize: Int, into sums: Buffer<Double>) {
    precondition(sums.count == (gradient.count + blockSize - 1) / blockSize)
    team.forEachChunk(of: gradient.count, size: blockSize) { [table] range, _ in
      sums[range.lowerBound / blockSize] = table.sum_of_squares(
        Int64(range.count), gradient.base + range.lowerBound)
    }
  }
}
