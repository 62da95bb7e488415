import CKernels

/// A weight `[columns, inner]` packed for products: panels of sixteen of its rows, `[panels][inner][16]`.
public struct PackedMatrix: Sendable {
  let memory: Buffer<Float>
  let columns: Int
  let inner: Int

  /// - Parameter memory: at least `floats(columns:inner:)`.
  public init(_ memory: Buffer<Float>, columns: Int, inner: Int) {
    precondition(memory.count >= Self.floats(columns: columns, inner: inner))
    self.memory = memory
    self.columns = columns
    self.inner = inner
  }

  public static func floats(columns: Int, inner: Int) -> Int { (columns + panel - 1) / panel * panel * inner }

  static let panel = Int(CK_PANEL)
  /// Floats from one panel to the next.
  var panelStride: Int { Self.panel * inner }
}

/// The weight `[outputs, inputs]` of a linear layer: as it lies among the parameters, or packed.
public enum LinearWeight: Sendable {
  case plain(Matrix)
  case packed(PackedMatrix)
}

/// Matrix products by our own kernels, in tiles.
///
/// The order of summation of an element is fixed (see `ck_table.product`), so tiles are cut as suits the threads.
extension Backend {
  /// Positions whose products are one chain of multiply-adds.
  static let innerBlock = Int(CK_INNER_BLOCK)
  /// Floats of scratch memory for a tile.
  static let productScratch = Int(CK_PRODUCT_SCRATCH)

  /// Packs a weight `[columns, inner]`.
  public func pack(_ weight: Matrix, into packed: PackedMatrix) {
    precondition(weight.rows == packed.columns && weight.columns == packed.inner)
    team.forEachChunk(of: weight.rows, size: 4 * PackedMatrix.panel) { [table] rows, _ in
      table.pack_columns(
        Int64(rows.count), Int64(weight.columns), weight.base + rows.lowerBound * weight.stride, Int64(weight.stride),
        1, packed.memory.base + rows.lowerBound * packed.inner, Int64(packed.panelStride))
    }
  }

  /// The tiles that a product is cut into, of about equal size.
  private struct Tiling {
    private(set) var rows: Int
    private(set) var columns: Int
    private let c: (rows: Int, columns: Int)

    // Whole micro-tiles of every family, and whole panels.
    private static let rowUnit = 12
    private static let columnUnit = 2 * PackedMatrix.panel

    init(_ c: Matrix) {
      self.c = (c.rows, c.columns)
      rows = Self.size(c.rows, most: Int(CK_ROW_TILE), Self.rowUnit)
      columns = Self.size(c.columns, most: Int(CK_COLUMN_TILE), Self.columnUnit)
    }

    /// The size of a side of as few tiles as possible; `most` is a multiple of the unit.
    private static func size(_ count: Int, most: Int, _ unit: Int) -> Int {
      let tiles = max(1, (count + most - 1) / most)
      return min(most, size(count, tiles: tiles, unit))
    }

    private static func size(_ count: Int, tiles: Int, _ unit: Int) -> Int {
      max(unit, (count + tiles * unit - 1) / (tiles * unit) * unit)
    }

    var rowTiles: Int { (c.rows + rows - 1) / rows }
    var columnTiles: Int { (c.columns + columns - 1) / columns }
    var count: Int { rowTiles * columnTiles }

    /// Cuts the longer side of the tiles once more; false when they are small.
    mutating func cut() -> Bool {
      let before = count
      if rows > 96, rows >= columns || columns <= 128 {
        rows = Self.size(c.rows, tiles: rowTiles + 1, Self.rowUnit)
      } else if columns > 128 {
        columns = Self.size(c.columns, tiles: columnTiles + 1, Self.columnUnit)
      }
      return count > before
    }
  }

  func multiplyTiles(_ products: [MatrixProduct]) {
    var tilings = products.map { Tiling($0.c) }
    // Several tiles a thread, so that none waits long for the last one.
    while team.count > 1, tilings.reduce(0, { $0 + $1.count }) < 8 * team.count {
      let largest = tilings.indices.max {
        tilings[$0].rows * tilings[$0].columns < tilings[$1].rows * tilings[$1].columns
      }
      guard let largest, tilings[largest].cut() else { break }
    }
    let cut = tilings
    team.forEach(grouped: cut.map(\.count)) { [self] index, tile, thread in
      let (product, tiling) = (products[index], cut[index])
      multiplyTile(
        product, rows: tile / tiling.columnTiles * tiling.rows, columns: tile % tiling.columnTiles * tiling.columns,
        tiling.rows, tiling.columns, scratch: productScratch(thread))
    }
  }

  private func multiplyTile(
    _ product: MatrixProduct, rows row: Int, columns column: Int, _ rows: Int, _ columns: Int, scratch: Buffer<Float>
  ) {
    let (a, c) = (product.a, product.c)
    var tile = ck_product()
    tile.rows = Int64(min(rows, c.rows - row))
    tile.columns = Int64(min(columns, c.columns - column))
    tile.inner = Int64(product.inner)
    tile.a = UnsafePointer(a.base + (product.transposeA ? row : row * a.stride))
    (tile.a_row, tile.a_step) = product.transposeA ? (1, Int64(a.stride)) : (Int64(a.stride), 1)
    switch product.b {
    case .plain(let b):
      tile.b = UnsafePointer(b.base + column)
      (tile.b_column, tile.b_step) = (1, Int64(b.stride))
    case .transposed(let b):
      tile.b = UnsafePointer(b.base + column * b.stride)
      (tile.b_column, tile.b_step) = (Int64(b.stride), 1)
    case .packed(let b):
      tile.b = UnsafePointer(b.memory.base + column * b.inner)
      tile.b_panel = Int64(b.panelStride)
    }
    tile.c = c.base + row * c.stride + column
    tile.c_stride = Int64(c.stride)
    tile.accumulate = product.accumulate
    table.product(&tile, scratch.base)
  }
}
