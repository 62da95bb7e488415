/// A transposed view of a matrix, as an operand of a product; nothing is copied.
public struct TransposedMatrix: Sendable {
  let matrix: Matrix
}

extension Matrix {
  public var transposed: TransposedMatrix { TransposedMatrix(matrix: self) }
}

/// One matrix product (GEMM): `c = a b`, or `c += a b` with `accumulate`.
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

  // Tiles keep OpenBLAS within 2 % of its speed on a whole matrix, and give each thread several.
  static let tileRows = 264
  static let tileColumns = 1024

  /// Rows of a tile: tiles of about equal size, in whole groups of rows.
  private var rowsPerTile: Int {
    let tiles = max(1, (c.rows + Self.tileRows - 1) / Self.tileRows)
    let rows = (c.rows + tiles - 1) / tiles
    return max(1, (rows + Self.rowGroup - 1) / Self.rowGroup) * Self.rowGroup
  }
  var columnTiles: Int { (c.columns + Self.tileColumns - 1) / Self.tileColumns }
  var tiles: Int { (c.rows + rowsPerTile - 1) / rowsPerTile * columnTiles }

  /// - Parameter scratch: `rowScratch` floats.
  func computeTile(_ tile: Int, scratch: Buffer<Float>) {
    let row = tile / columnTiles * rowsPerTile
    let column = tile % columnTiles * Self.tileColumns
    let rows = min(rowsPerTile, c.rows - row)
    let columns = min(Self.tileColumns, c.columns - column)
    // A linear layer: its rows are tokens.
    if transposeB {
      return Self.multiplyRows(
        rows: rows, columns: columns, inner: a.columns, a: a.base + row * a.stride, aStride: a.stride,
        b: b.base + column * b.stride, bStride: b.stride, transposeB: true, c: c.base + row * c.stride + column,
        cStride: c.stride, accumulate: accumulate, maxRows: Self.tileRows, scratch: scratch)
    }
    Self.multiply(
      rows: rows, columns: columns, inner: transposeA ? a.rows : a.columns,
      a: a.base + (transposeA ? row : row * a.stride), aStride: a.stride, transposeA: transposeA,
      b: b.base + column, bStride: b.stride, transposeB: false, c: c.base + row * c.stride + column, cStride: c.stride,
      accumulate: accumulate)
  }

  /// One call of OpenBLAS, on the calling thread. Its bits depend on the shape, which callers therefore fix.
  @inline(__always)
  static func multiply(
    rows: Int, columns: Int, inner: Int,
    a: UnsafePointer<Float>, aStride: Int, transposeA: Bool,
    b: UnsafePointer<Float>, bStride: Int, transposeB: Bool,
    c: UnsafeMutablePointer<Float>, cStride: Int, accumulate: Bool
  ) {
    KernelFamily.library.product(
      OpenBLAS.rowMajor, transposeA ? OpenBLAS.transposed : OpenBLAS.asIs,
      transposeB ? OpenBLAS.transposed : OpenBLAS.asIs, Int32(rows), Int32(columns), Int32(inner), 1, a, Int32(aStride),
      b, Int32(bStride), accumulate ? 1 : 0, c, Int32(cStride))
  }
}

extension Backend {
  /// Computes one product; the thread team shares its tiles.
  public func multiply(_ product: MatrixProduct) {
    team.forEach(product.tiles) { [self] tile, thread in product.computeTile(tile, scratch: rowScratch(thread)) }
  }

  /// Grouped GEMM: computes independent products together, as for the experts of a layer; the thread team shares all
  /// tiles.
  public func multiply(_ products: [MatrixProduct]) {
    var tiles = 0
    let firstTiles = products.map { product in
      defer { tiles += product.tiles }
      return tiles
    }
    team.forEach(tiles) { [self] tile, thread in
      // The last product that begins at or before this tile.
      var (low, high) = (0, products.count)
      while high - low > 1 {
        let middle = (low + high) / 2
        if firstTiles[middle] <= tile { low = middle } else { high = middle }
      }
      products[low].computeTile(tile - firstTiles[low], scratch: rowScratch(thread))
    }
  }
}
