/// The Newton–Schulz iteration of Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks").
public enum NewtonSchulz {
  /// One step maps a singular value s to a s + b s³ + c s⁵. These coefficients do not converge to 1: they are steep at
  /// 0, so that five steps map all from 0.002 to 1 into 0.68 to 1.20, which is as good for an optimizer.
  static let coefficients: (a: Float, b: Float, c: Float) = (3.4445, -4.7750, 2.0315)
  public static let defaultSteps = 5
  /// The min Frobenius norm in the division.
  static let epsilon = 1e-7

  /// Floats of scratch memory for a matrix: a copy, its Gram matrix and the polynomial of that.
  public static func scratchFloats(rows: Int, columns: Int) -> Int {
    let side = min(rows, columns)
    return rows * columns + 2 * side * side
  }
}

extension Backend {
  /// Approximately orthogonalises each matrix in place, from X = U S Vᵀ to U Vᵀ: X ← X / ‖X‖, then `steps` times X ← (a
  /// I + b G + c G²) X with the Gram matrix G = X Xᵀ. A matrix with more rows than columns is multiplied from the
  /// right, with G = Xᵀ X: the same in exact arithmetic, and G is smaller.
  ///
  /// All is fp32 but the Frobenius norm, an fp64 sum in a fixed order. A matrix's bits depend neither on the number of
  /// threads nor on the other matrices; several at once keep all threads busy when they are small.
  ///
  /// - Parameters:
  ///   - matrices: of any shapes, rows contiguous.
  ///   - scratch: at least the `NewtonSchulz.scratchFloats` of all matrices together.
  public func orthogonalise(
    _ matrices: [Matrix], steps: Int = NewtonSchulz.defaultSteps, scratch: Buffer<Float>
  ) {
    precondition(matrices.allSatisfy { $0.stride == $0.columns }, "rows must be contiguous")
    var used = 0
    func take(_ rows: Int, _ columns: Int) -> Matrix {
      defer { used += rows * columns }
      return scratch[used..<used + rows * columns].matrix(rows, columns)
    }
    let sides = matrices.map { min($0.rows, $0.columns) }
    let copies = matrices.map { take($0.rows, $0.columns) }
    // The Gram matrices are contiguous, and so are their polynomials: one loop computes all.
    let start = used
    let grams = sides.map { take($0, $0) }
    let gramElements = scratch[start..<used]
    let polynomials = sides.map { take($0, $0) }
    let polynomialElements = scratch[start + gramElements.count..<used]
    let (a, b, c) = NewtonSchulz.coefficients

    // Steps alternate between two buffers; begin so that the last one ends in `matrices`.
    var (from, to) = steps.isMultiple(of: 2) ? (matrices, copies) : (copies, matrices)
    normalise(matrices, into: from)
    for _ in 0..<steps {
      multiply(
        zip(from, grams).map { x, gram in
          x.rows <= x.columns ? MatrixProduct(x, x.transposed, into: gram) : MatrixProduct(x.transposed, x, into: gram)
        })
      multiply(zip(grams, polynomials).map { gram, square in MatrixProduct(gram, gram, into: square) })
      team.forEachChunk(of: gramElements.count, size: Self.elementsPerTask) { [table] range, _ in
        let polynomial = polynomialElements.base + range.lowerBound
        table.scale(Int64(range.count), c, polynomial, polynomial)
        table.axpy(Int64(range.count), b, gramElements.base + range.lowerBound, polynomial)
      }
      for polynomial in polynomials {
        for index in 0..<polynomial.rows { polynomial.base[index * (polynomial.stride + 1)] += a }
      }
      multiply(
        matrices.indices.map { index in
          let (x, polynomial) = (from[index], polynomials[index])
          return x.rows <= x.columns
            ? MatrixProduct(polynomial, x, into: to[index]) : MatrixProduct(x, polynomial, into: to[index])
        })
      swap(&from, &to)
    }
  }

  /// `y = x / max(‖x‖, ε)`, matrix by matrix; `x` and `y` may be the same.
  private func normalise(_ x: [Matrix], into y: [Matrix]) {
    team.forEach(x.count) { [table] index, _ in
      let count = Int64(x[index].rows * x[index].columns)
      let norm = table.sum_of_squares(count, x[index].base).squareRoot()
      table.scale(count, Float(1 / max(norm, NewtonSchulz.epsilon)), x[index].base, y[index].base)
    }
  }
}
