import COpenBLAS

/// A matrix seen with rows and columns exchanged; only an operand of a product, nothing moves.
public struct TransposedMatrix: Sendable {
  let matrix: Matrix
}

extension Matrix {
  public var transposed: TransposedMatrix { TransposedMatrix(matrix: self) }
}

/// One matrix product `c = a b`, or `c += a b` with `accumulate`.
public struct MatrixProduct: Sendable {
  let a, b, c: Matrix
  let transposeA, transposeB, accumulate: Bool

  /// - Parameters: `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]`.
  public init(_ a: Matrix, _ b: Matrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a, false, b, false, c, accumulate)
  }

  /// A linear layer: `b` holds its weight `[n, k]`.
  public init(_ a: Matrix, _ b: TransposedMatrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a, false, b.matrix, true, c, accumulate)
  }

  /// A weight's gradient: `a` `[k, m]` and `b` `[k, n]` are summed over their rows.
  public init(_ a: TransposedMatrix, _ b: Matrix, into c: Matrix, accumulate: Bool = false) {
    self.init(a.matrix, true, b, false, c, accumulate)
  }

  private init(_ a: Matrix, _ transposeA: Bool, _ b: Matrix, _ transposeB: Bool, _ c: Matrix, _ accumulate: Bool) {
    precondition((transposeA ? a.columns : a.rows) == c.rows, "rows of a and c differ")
    precondition((transposeB ? b.rows : b.columns) == c.columns, "columns of b and c differ")
    precondition((transposeA ? a.rows : a.columns) == (transposeB ? b.columns : b.rows), "inner dimensions differ")
    self.a = a
    self.b = b
    self.c = c
    self.transposeA = transposeA
    self.transposeB = transposeB
    self.accumulate = accumulate
  }

  // Tiles keep OpenBLAS within 2 % of its speed on a whole matrix, and leave several for each thread.
  static let tileRows = 256
  static let tileColumns = 1024

  var columnTiles: Int { (c.columns + Self.tileColumns - 1) / Self.tileColumns }
  var tiles: Int { (c.rows + Self.tileRows - 1) / Self.tileRows * columnTiles }

  func computeTile(_ tile: Int) {
    let row = tile / columnTiles * Self.tileRows
    let column = tile % columnTiles * Self.tileColumns
    Self.multiply(
      rows: min(Self.tileRows, c.rows - row), columns: min(Self.tileColumns, c.columns - column),
      inner: transposeA ? a.rows : a.columns,
      a: a.base + (transposeA ? row : row * a.stride), aStride: a.stride, transposeA: transposeA,
      b: b.base + (transposeB ? column * b.stride : column), bStride: b.stride, transposeB: transposeB,
      c: c.base + row * c.stride + column, cStride: c.stride, accumulate: accumulate)
  }

  /// One call into OpenBLAS, on the calling thread. Its bits depend on the shape, which is why callers fix it.
  @inline(__always)
  static func multiply(
    rows: Int, columns: Int, inner: Int,
    a: UnsafePointer<Float>, aStride: Int, transposeA: Bool,
    b: UnsafePointer<Float>, bStride: Int, transposeB: Bool,
    c: UnsafeMutablePointer<Float>, cStride: Int, accumulate: Bool
  ) {
    cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
      blasint(rows), blasint(columns), blasint(inner), 1, a, blasint(aStride), b, blasint(bStride),
      accumulate ? 1 : 0, c, blasint(cStride))
  }
}

extension Compute {
  /// Computes one product, its tiles shared by the team.
  public func multiply(_ product: MatrixProduct) {
    team.forEach(product.tiles) { tile, _ in product.computeTile(tile) }
  }

  /// Computes independent products together, as for the experts of a layer: all their tiles are shared by the team.
  public func multiply(_ products: [MatrixProduct]) {
    let tiles = products.reduce(0) { $0 + $1.tiles }
    team.forEach(tiles) { tile, _ in
      var rest = tile
      for product in products {
        if rest < product.tiles { return product.computeTile(rest) }
        rest -= product.tiles
      }
    }
  }
}
