/// Batch-invariant matrix products: a row's bits do not depend on the other rows, so a token's numbers are the same in
/// a prompt of a thousand tokens, alone in generation, and in any micro-batch or expert.
///
/// OpenBLAS alone is not batch-invariant (0.3.21, measured). Haswell's kernels compute rows in groups of twelve, and
/// the remainder in another order. SkylakeX's kernels compute small products in another order than large ones. So rows
/// are computed in whole groups here, and in enough of them that the product does not count as small: missing rows are
/// padded in scratch memory and discarded.
extension MatrixProduct {
  static let rowGroup = 12
  /// Floats of scratch memory: enough for a padded group at any common width.
  static let rowScratch = 1 << 18

  /// The min rows that OpenBLAS computes in the same order as `maxRows` rows.
  private static func minRows(columns: Int, inner: Int, transposeB: Bool, maxRows: Int) -> Int {
    // OpenBLAS's limits of a small product: multiplications and, with b transposed, results.
    var minimum = 1_000_000 / max(1, columns * inner) + 1
    if transposeB { minimum = min(minimum, inner < 32 ? 1 : 1200 / columns + 1) }
    let groups = (minimum + rowGroup - 1) / rowGroup * rowGroup
    return groups > maxRows ? rowGroup : groups
  }

  /// Computes `c = a b` or `c += a b` like `multiply`, with batch-invariant rows.
  ///
  /// - Parameter maxRows: the max rows of a call with these `columns` and `inner`.
  static func multiplyRows(
    rows: Int, columns: Int, inner: Int, a: UnsafePointer<Float>, aStride: Int, b: UnsafePointer<Float>, bStride: Int,
    transposeB: Bool, c: UnsafeMutablePointer<Float>, cStride: Int, accumulate: Bool, maxRows: Int,
    scratch: Buffer<Float>
  ) {
    let minimum = minRows(columns: columns, inner: inner, transposeB: transposeB, maxRows: maxRows)
    let fits = minimum * (inner + columns) <= scratch.count
    let whole = !fits ? rows : rows >= minimum ? rows / rowGroup * rowGroup : 0
    if whole > 0 {
      multiply(
        rows: whole, columns: columns, inner: inner, a: a, aStride: aStride, transposeA: false, b: b, bStride: bStride,
        transposeB: transposeB, c: c, cStride: cStride, accumulate: accumulate)
    }
    guard whole < rows else { return }
    let paddedA = scratch.base
    let paddedC = scratch.base + minimum * inner
    for row in whole..<rows {
      (paddedA + (row - whole) * inner).update(from: a + row * aStride, count: inner)
      if accumulate { (paddedC + (row - whole) * columns).update(from: c + row * cStride, count: columns) }
    }
    multiply(
      rows: minimum, columns: columns, inner: inner, a: paddedA, aStride: inner, transposeA: false, b: b,
      bStride: bStride, transposeB: transposeB, c: paddedC, cStride: columns, accumulate: accumulate)
    for row in whole..<rows {
      (c + row * cStride).update(from: paddedC + (row - whole) * columns, count: columns)
    }
  }
}
