/// A transposed view of a matrix, as an operand of a product; nothing is copied.
public struct TransposedMatrix: Sendable {
  let matrix: Matrix
}

extension Matrix {
  public var transposed: TransposedMatrix { TransposedMatrix(matrix: self) }
}

/// One matrix product (GEMM): `c = a b`, or `c += a b` with `accumulate`.
public struct MatrixProduct: Sendable {
  enum Right: Sendable {
    case plain(Matrix)
    case transposed(Matrix)
    case packed(PackedMatrix)
  }
  let a: Matrix
  let transposeA: Bool
  let b: Right
  let c: Matrix
  let accumulate: Bool

  /// - Parameters: `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]`.
  public init(_ a: Matrix, _ b: Matrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a, false, .plain(b), c, accumulate)
  }

  /// A linear layer: `b` holds its weight `[n, k]`.
  public init(_ a: Matrix, _ b: TransposedMatrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a, false, .transposed(b.matrix), c, accumulate)
  }

  /// A linear layer whose weight `[n, k]` is packed.
  public init(_ a: Matrix, _ b: PackedMatrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a, false, .packed(b), c, accumulate)
  }

  /// A linear layer.
  public init(_ a: Matrix, _ weight: LinearWeight, into c: Matrix, accumulate: Bool = false) {
    switch weight {
    case .plain(let weight): self.init(a, weight.transposed, into: c, accumulate: accumulate)
    case .packed(let weight): self.init(a, weight, into: c, accumulate: accumulate)
    }
  }

  /// A weight's gradient: `a` `[k, m]` and `b` `[k, n]` are summed over their rows.
  public init(_ a: TransposedMatrix, _ b: Matrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a.matrix, true, .plain(b), c, accumulate)
  }

  private init(_ a: Matrix, _ transposeA: Bool, _ b: Right, _ c: Matrix, _ accumulate: Bool) {
    let shape =
      switch b {
      case .plain(let b): (b.rows, b.columns)
      case .transposed(let b): (b.columns, b.rows)
      case .packed(let b): (b.inner, b.columns)
      }
    precondition((transposeA ? a.columns : a.rows) == c.rows, "rows of a and c differ")
    precondition(shape.1 == c.columns, "columns of b and c differ")
    precondition((transposeA ? a.rows : a.columns) == shape.0, "inner dimensions differ")
    self.a = a
    self.transposeA = transposeA
    self.b = b
    self.c = c
    self.accumulate = accumulate
  }

  var inner: Int { transposeA ? a.rows : a.columns }
}

extension Backend {
  /// Computes one product; the thread team shares its tiles.
  public func multiply(_ product: MatrixProduct) { multiply([product]) }

  /// Grouped GEMM: computes independent products together, as for the experts of a layer; the thread team shares all
  /// tiles.
  public func multiply(_ products: [MatrixProduct]) {
    switch matrixBackend {
    case .native: multiplyTiles(products)
    case .openblas: multiplyByOpenBLAS(products)
    }
  }
}
