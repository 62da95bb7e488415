/// Matrix products by OpenBLAS, in tiles.
extension MatrixProduct {
  // Tiles keep OpenBLAS within 2 % of its speed on a whole matrix, and give each thread several.
  static let tileRows = 264
  static let tileColumns = 1024

  /// Rows of a tile: tiles of about equal size, in whole groups of rows.
  private var rowsPerTile: Int {
    let tiles = max(1, (c.rows + Self.tileRows - 1) / Self.tileRows)
    let rows = (c.rows + tiles - 1) / tiles
    return max(1, (rows + Self.rowGroup - 1) / Self.rowGroup) * Self.rowGroup
  }
  private var columnTiles: Int { (c.columns + Self.tileColumns - 1) / Self.tileColumns }
  var tiles: Int { (c.rows + rowsPerTile - 1) / rowsPerTile * columnTiles }

  /// - Parameter scratch: `rowScratch` floats.
  func computeTile(_ tile: Int, scratch: Buffer<Float>) {
    let row = tile / columnTiles * rowsPerTile
    let column = tile % columnTiles * Self.tileColumns
    let rows = min(rowsPerTile, c.rows - row)
    let columns = min(Self.tileColumns, c.columns - column)
    switch b {
    // A linear layer: its rows are tokens.
    case .transposed(let b):
      Self.multiplyRows(
        rows: rows, columns: columns, inner: a.columns, a: a.base + row * a.stride, aStride: a.stride,
        b: b.base + column * b.stride, bStride: b.stride, transposeB: true, c: c.base + row * c.stride + column,
        cStride: c.stride, accumulate: accumulate, maxRows: Self.tileRows, scratch: scratch)
    case .plain(let b):
      Self.multiply(
        rows: rows, columns: columns, inner: transposeA ? a.rows : a.columns,
        a: a.base + (transposeA ? row : row * a.stride), aStride: a.stride, transposeA: transposeA,
        b: b.base + column, bStride: b.stride, transposeB: false, c: c.base + row * c.stride + column,
        cStride: c.stride, accumulate: accumulate)
    case .packed: preconditionFailure("OpenBLAS cannot read packed weights")
    }
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
  func multiplyByOpenBLAS(_ products: [MatrixProduct]) {
    team.forEach(grouped: products.map(\.tiles)) { product, tile, thread in
      products[product].computeTile(tile, scratch: rowScratch(thread))
    }
  }
}
