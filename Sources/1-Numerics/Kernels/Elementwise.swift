import CKernels

extension Backend {
  /// SwiGLU (Shazeer 2020): `out = silu(gate) · up`; `gateUp` `[tokens, 2 · intermediate]` holds gate then up in each
  /// row.
  public func swiGLU(_ gateUp: Matrix, into out: Matrix) {
    precondition(gateUp.columns == 2 * out.columns && gateUp.rows == out.rows)
    precondition(gateUp.stride == gateUp.columns && out.stride == out.columns, "rows must be contiguous")
    team.forEachChunk(of: out.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.swiglu_forward(
        Int64(rows.count), Int64(out.columns), gateUp.base + rows.lowerBound * gateUp.stride,
        out.base + rows.lowerBound * out.stride)
    }
  }

  /// The backward pass of `swiGLU`: overwrites `gateUp` by its gradient and recomputes `out`; `outGradient` `[tokens,
  /// intermediate]`.
  public func swiGLUBackward(outGradient: Matrix, gateUpToGradient gateUp: Matrix, out: Matrix) {
    precondition(gateUp.columns == 2 * out.columns && gateUp.rows == out.rows && outGradient.rows == out.rows)
    precondition(gateUp.stride == gateUp.columns && out.stride == out.columns && outGradient.stride == out.columns)
    team.forEachChunk(of: out.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.swiglu_backward(
        Int64(rows.count), Int64(out.columns), outGradient.base + rows.lowerBound * out.columns,
        gateUp.base + rows.lowerBound * gateUp.stride, out.base + rows.lowerBound * out.stride)
    }
  }

  /// `y += x`, elementwise.
  public func add(_ x: Matrix, to y: Matrix) {
    precondition(x.rows == y.rows && x.columns == y.columns)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      for row in rows { table.axpy(Int64(x.columns), 1, x.base + row * x.stride, y.base + row * y.stride) }
    }
  }

  /// Copies `[tokens, columns]` between views of different strides.
  public func copy(_ x: Matrix, to y: Matrix) {
    precondition(x.rows == y.rows && x.columns == y.columns)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { rows, _ in
      for row in rows { (y.base + row * y.stride).update(from: x.base + row * x.stride, count: x.columns) }
    }
  }

  /// Adds `bias` `[columns]` to every row of `y`.
  public func addBias(_ bias: Buffer<Float>, to y: Matrix) {
    precondition(bias.count == y.columns)
    team.forEachChunk(of: y.rows, size: Self.rowsPerTask) { [table] rows, _ in
      for row in rows { table.axpy(Int64(y.columns), 1, bias.base, y.base + row * y.stride) }
    }
  }

  /// Clamps `x` `[tokens, columns]` to [−bound, bound], in place.
  ///
  /// - Parameter outside: `[clampWords]`, a bit mask of the elements that lay outside, for the backward pass; nil keeps
  ///   none.
  public func clamp(_ x: Matrix, to bound: Float, outside: Buffer<Int32>?) {
    let words = Self.clampWords(rows: 1, columns: x.columns)
    precondition(outside.map { $0.count >= x.rows * words } ?? true)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.clamp(
        Int64(rows.count), Int64(x.columns), bound, x.base + rows.lowerBound * x.stride, Int64(x.stride),
        outside.map { $0.base + rows.lowerBound * words })
    }
  }

  /// The backward pass of `clamp`, in place: the gradient is 0 outside and unchanged at the bound itself, as in
  /// PyTorch.
  public func clampBackward(_ gradient: Matrix, outside: Buffer<Int32>) {
    let words = Self.clampWords(rows: 1, columns: gradient.columns)
    precondition(outside.count >= gradient.rows * words)
    team.forEachChunk(of: gradient.rows, size: Self.rowsPerTask) { [table] rows, _ in
      table.clamp_backward(
        Int64(rows.count), Int64(gradient.columns), outside.base + rows.lowerBound * words,
        gradient.base + rows.lowerBound * gradient.stride, Int64(gradient.stride))
    }
  }

  /// The size of the bit mask of `clamp` for `rows` · `columns` elements, in 32-bit integers.
  public static func clampWords(rows: Int, columns: Int) -> Int { rows * ((columns + 31) / 32) }

  /// Multiplies every row of `x` `[tokens, columns]` by the factor of its position, in place; the backward pass is the
  /// same.
  ///
  /// - Parameters:
  ///   - positions: `[tokens]`, indices of `factors` `[positions]`.
  public func scaleRows(_ x: Matrix, positions: Buffer<Int32>, factors: Buffer<Float>) {
    precondition(positions.count == x.rows)
    team.forEachChunk(of: x.rows, size: Self.rowsPerTask) { [table] rows, _ in
      for row in rows {
        let start = x.base + row * x.stride
        table.scale(Int64(x.columns), factors[Int(positions[row])], start, start)
      }
    }
  }

  /// `sum = Σ rows of x`, in row order: the gradient of a bias.
  public func sumRows(_ x: Matrix, into sum: Buffer<Float>) {
    precondition(sum.count == x.columns)
    team.forEachChunk(of: x.columns, size: Self.columnsPerTask) { [table] columns, _ in
      table.sum_rows(
        Int64(x.rows), Int64(columns.count), x.base + columns.lowerBound, Int64(x.stride),
        sum.base + columns.lowerBound, false)
    }
  }

  /// Embedding lookup, `out[t] = weight[ids[t]]`: `ids` `[tokens]`, `weight` `[vocabulary, hidden]`, `out` `[tokens,
  /// hidden]`.
  public func embed(_ ids: Buffer<Int32>, weight: Matrix, into out: Matrix) {
    precondition(ids.count == out.rows && weight.columns == out.columns)
    team.forEachChunk(of: out.rows, size: Self.rowsPerTask) { rows, _ in
      for row in rows {
        let id = Int(ids[row])
        precondition(id >= 0 && id < weight.rows, "token id outside the vocabulary")
        (out.base + row * out.stride).update(from: weight.base + id * weight.stride, count: out.columns)
      }
    }
  }
}
