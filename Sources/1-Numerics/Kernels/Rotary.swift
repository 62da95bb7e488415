extension Backend {
  /// The rotary position embedding (Su et al. 2021): rotates the heads of `x` `[tokens, heads · dimension]` in place,
  /// in the half-split layout of Hugging Face's models (element i pairs with i + dimension/2).
  ///
  /// - Parameters:
  ///   - positions: `[tokens]`, row indices of the tables.
  ///   - cosine, sine: `[positions, dimension / 2]`.
  ///   - inverse: the inverse rotation, which is the backward pass.
  public func rotate(
    _ x: Matrix, headDimension: Int, positions: Buffer<Int32>, cosine: Matrix, sine: Matrix, inverse: Bool = false
  ) {
    precondition(positions.count == x.rows && cosine.columns * 2 == headDimension && sine.rows == cosine.rows)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.rotate(
        Int64(rows.count), Int64(x.columns / headDimension), Int64(headDimension), x.base + rows.lowerBound * x.stride,
        Int64(x.stride), positions.base + rows.lowerBound, cosine.base, sine.base, inverse ? -1 : 1)
    }
  }
}
