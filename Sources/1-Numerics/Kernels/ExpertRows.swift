import CKernels

/// Permutation of a micro-batch's rows into expert order, and back.
extension Backend {
  /// Permutes tokens into expert order, `rows[r] = x[token of row r]`: `x` `[tokens, hidden]`, `rows` `[slots,
  /// hidden]`.
  public func gather(_ x: Matrix, routing: Routing, topK k: Int, into rows: Matrix) {
    gather(x, routing: routing, topK: k, 0..<x.rows * k, into: rows)
  }

  /// `gather` of a range of rows, `[range, hidden]`.
  public func gather(_ x: Matrix, routing: Routing, topK k: Int, _ range: Range<Int>, into rows: Matrix) {
    precondition(range.lowerBound >= 0 && range.upperBound <= x.rows * k)
    precondition(rows.rows == range.count && rows.columns == x.columns)
    let first = range.lowerBound
    team.forEachChunk(of: rows.rows, size: Self.rowsPerTask) { chunk, _ in
      for row in chunk {
        let token = Int(routing.inversePermutation[first + row]) / k
        (rows.base + row * rows.stride).update(from: x.base + token * x.stride, count: x.columns)
      }
    }
  }

  /// `gather` with each row's routing weight in one more column: `rows` `[slots, hidden + 1]`.
  public func gatherWithWeights(_ x: Matrix, routing: Routing, topK k: Int, into rows: Matrix) {
    precondition(rows.rows == x.rows * k && rows.columns == x.columns + 1)
    team.forEachChunk(of: rows.rows, size: Self.rowsPerTask) { range, _ in
      for row in range {
        let slot = Int(routing.inversePermutation[row])
        let line = rows.base + row * rows.stride
        line.update(from: x.base + slot / k * x.stride, count: x.columns)
        line[x.columns] = routing.weights[slot]
      }
    }
  }

  /// Unpermutes and combines rows: `y[t] += Σ over the token's slots, in order, of weight · rows[row of the slot]`;
  /// without weights when `weighted` is false, which is the backward pass of `gather`.
  public func combine(_ rows: Matrix, routing: Routing, topK k: Int, weighted: Bool, addingTo y: Matrix) {
    precondition(rows.rows == y.rows * k && rows.columns == y.columns)
    team.forEachChunk(of: y.rows, size: Self.rowsPerTask) { [table] range, _ in
      for token in range {
        for slot in token * k..<(token + 1) * k {
          table.axpy(
            Int64(y.columns), weighted ? routing.weights[slot] : 1,
            rows.base + Int(routing.permutation[slot]) * rows.stride, y.base + token * y.stride)
        }
      }
    }
  }

  /// Unpermutes one column of the rows into slot order: `rows` `[slots, 1]`, `values` `[slots]`.
  public func scatter(_ rows: Matrix, routing: Routing, into values: Buffer<Float>) {
    precondition(rows.columns == 1 && values.count >= rows.rows)
    for row in 0..<rows.rows { values[Int(routing.inversePermutation[row])] = rows.base[row * rows.stride] }
  }

  /// The backward pass of the routing weights in `combine`, on the experts' rank, from gradients that leave the weights
  /// out.
  ///
  /// With `gradient` the unweighted gradient of the `activation` `[rows, intermediate]`, a weight's gradient is
  /// ⟨gradient, activation⟩; then the rows of `activation` and of `gateUpGradient` `[rows, 2 · intermediate]` are
  /// scaled by their weights.
  ///
  /// - Parameters: `weights`, `weightGradients` `[rows, 1]`.
  public func weightBackward(
    gradient: Matrix, activation: Matrix, gateUpGradient: Matrix, weights: Matrix, weightGradients: Matrix
  ) {
    precondition(gradient.rows == activation.rows && gateUpGradient.rows == activation.rows)
    precondition(gradient.columns == activation.columns)
    precondition(weights.rows == gradient.rows && weightGradients.rows == gradient.rows)
    team.forEachChunk(of: gradient.rows, size: Self.rowsPerTask) { [table] range, _ in
      for row in range {
        let weight = weights.base[row * weights.stride]
        let line = activation.base + row * activation.stride
        let gateUp = gateUpGradient.base + row * gateUpGradient.stride
        weightGradients.base[row * weightGradients.stride] = table.dot(
          Int64(gradient.columns), gradient.base + row * gradient.stride, line)
        table.scale(Int64(activation.columns), weight, line, line)
        table.scale(Int64(gateUpGradient.columns), weight, gateUp, gateUp)
      }
    }
  }
}
