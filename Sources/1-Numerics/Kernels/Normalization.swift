extension Backend {
  /// RMSNorm (Zhang & Sennrich 2019), row by row: `y = x · rstd · w`.
  ///
  /// - Parameters: `x`, `y` `[tokens, hidden]`, `weight` `[hidden]`; `rstd` `[tokens]` is kept for the backward pass.
  public func rmsNorm(_ x: Matrix, weight: Buffer<Float>, epsilon: Float, into y: Matrix, rstd: Buffer<Float>) {
    precondition(x.columns == weight.count && x.columns == y.columns && x.rows == y.rows && x.rows <= rstd.count)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.rms_norm_forward(
        Int64(rows.count), Int64(x.columns), x.base + rows.lowerBound * x.stride, Int64(x.stride), weight.base, epsilon,
        y.base + rows.lowerBound * y.stride, Int64(y.stride), rstd.base + rows.lowerBound)
    }
  }

  /// The backward pass of `rmsNorm`: `dx` is added to, `weightGradient` is replaced by the sum over tokens in order.
  public func rmsNormBackward(
    dy: Matrix, x: Matrix, weight: Buffer<Float>, rstd: Buffer<Float>, addingTo dx: Matrix,
    weightGradient: Buffer<Float>
  ) {
    precondition(x.rows == dy.rows && x.rows == dx.rows && weightGradient.count == x.columns)
    team.forEachChunk(of: x.columns, size: Self.columnsPerTask) { [table] columns, _ in
      table.rms_norm_backward_weight(
        Int64(x.rows), Int64(columns.count), dy.base + columns.lowerBound, Int64(dy.stride),
        x.base + columns.lowerBound, Int64(x.stride), rstd.base, 1, weightGradient.base + columns.lowerBound, false)
    }
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.rms_norm_backward_input(
        Int64(rows.count), Int64(x.columns), dy.base + rows.lowerBound * dy.stride, Int64(dy.stride),
        x.base + rows.lowerBound * x.stride, Int64(x.stride), weight.base, rstd.base + rows.lowerBound,
        dx.base + rows.lowerBound * dx.stride, Int64(dx.stride), true)
    }
  }

  /// QK-norm: RMSNorm of every head of `x` `[tokens, heads · dimension]` with one shared `weight` `[dimension]`; `rstd`
  /// is `[tokens, heads]`. With a weight as wide as `x` all heads are normalised together.
  public func headNorm(_ x: Matrix, weight: Buffer<Float>, epsilon: Float, into y: Matrix, rstd: Buffer<Float>) {
    let heads = x.columns / weight.count
    precondition(heads * weight.count == x.columns && rstd.count >= x.rows * heads)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      for row in rows {
        table.rms_norm_forward(
          Int64(heads), Int64(weight.count), x.base + row * x.stride, Int64(weight.count), weight.base, epsilon,
          y.base + row * y.stride, Int64(weight.count), rstd.base + row * heads)
      }
    }
  }

  /// The backward pass of `headNorm`: `gradient` holds dy and is overwritten by dx; `weightGradient` `[dimension]` is
  /// the sum over heads, each over tokens in order.
  public func headNormBackward(
    gradient: Matrix, x: Matrix, weight: Buffer<Float>, rstd: Buffer<Float>, weightGradient: Buffer<Float>
  ) {
    let dimension = weight.count
    let heads = x.columns / dimension
    team.forEachChunk(of: dimension, size: Self.columnsPerTask) { [table] columns, _ in
      for head in 0..<heads {
        let first = head * dimension + columns.lowerBound
        table.rms_norm_backward_weight(
          Int64(x.rows), Int64(columns.count), gradient.base + first, Int64(gradient.stride), x.base + first,
          Int64(x.stride), rstd.base + head, Int64(heads), weightGradient.base + columns.lowerBound, head > 0)
      }
    }
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      for row in rows {
        let dy = gradient.base + row * gradient.stride
        table.rms_norm_backward_input(
          Int64(heads), Int64(dimension), dy, Int64(dimension), x.base + row * x.stride, Int64(dimension), weight.base,
          rstd.base + row * heads, dy, Int64(dimension), false)
      }
    }
  }
}
