import CKernels
import Testing

@testable import Kernels

/// Matrix products by our own kernels: the order of summation, element by element, bit for bit.
@Suite struct NativeProductTests {
  enum Form: CaseIterable { case plain, transposedB, packedB, transposedA }

  struct Shape: Sendable {
    let rows, columns, inner: Int
    init(_ rows: Int, _ columns: Int, _ inner: Int) { (self.rows, self.columns, self.inner) = (rows, columns, inner) }
  }

  /// Every number of rows of a micro-tile, panels and tails, tiles of rows and columns, and blocks of positions.
  static let shapes =
    (1...13).map { Shape($0, 1 + 37 * $0 % 101, 20 + 9 * $0) } + [
      Shape(3, 17, 0), Shape(1, 130, 257), Shape(197, 33, 19), Shape(14, 300, 70), Shape(7, 35, 600),
      Shape(25, 16, 512),
    ]

  /// Sums over blocks of 256 positions, each a chain of fused multiply-adds from +0, added in order.
  private func definition(_ inner: Int, _ a: (Int) -> Float, _ b: (Int) -> Float) -> Float {
    var sum: Float = 0
    for first in stride(from: 0, to: inner, by: 256) {
      var block: Float = 0
      for k in first..<min(inner, first + 256) { block = block.addingProduct(a(k), b(k)) }
      sum = first == 0 ? block : sum + block
    }
    return sum
  }

  @Test(arguments: shapes, Form.allCases) func followsTheDefinition(shape: Shape, form: Form) {
    let (m, n, k) = (shape.rows, shape.columns, shape.inner)
    var numbers = Numbers(seed: UInt64(m * 7 + n))
    let (left, right, before) = (numbers.array(m * k), numbers.array(k * n), numbers.array(m * n))
    let (a, b) = (Arena(left), Arena(right))
    let (c, sum) = (Arena<Float>([Float](repeating: .nan, count: m * n)), Arena(before))
    let packed = Arena<Float>(count: PackedMatrix.floats(columns: n, inner: k))
    let backend = Backend(threads: 2, matrixBackend: .native)
    for (result, accumulate) in [(c, false), (sum, true)] {
      let product: MatrixProduct
      switch form {
      case .plain:
        product = MatrixProduct(a.matrix(m, k), b.matrix(k, n), into: result.matrix(m, n), accumulate: accumulate)
      case .transposedB:
        product = MatrixProduct(
          a.matrix(m, k), b.matrix(n, k).transposed, into: result.matrix(m, n), accumulate: accumulate)
      case .packedB:
        let weight = PackedMatrix(packed.buffer, columns: n, inner: k)
        backend.pack(b.matrix(n, k), into: weight)
        product = MatrixProduct(a.matrix(m, k), weight, into: result.matrix(m, n), accumulate: accumulate)
      case .transposedA:
        product = MatrixProduct(
          a.matrix(k, m).transposed, b.matrix(k, n), into: result.matrix(m, n), accumulate: accumulate)
      }
      backend.multiply(product)
    }
    let columnsOfB = form == .transposedB || form == .packedB
    var (expected, expectedSum) = ([Float](), [Float]())
    for i in 0..<m {
      for j in 0..<n {
        let value = definition(
          k, { form == .transposedA ? left[$0 * m + i] : left[i * k + $0] },
          { columnsOfB ? right[j * k + $0] : right[$0 * n + j] })
        expected.append(value)
        expectedSum.append(before[i * n + j] + value)
      }
    }
    #expect(c.array.map(\.bitPattern) == expected.map(\.bitPattern))
    #expect(sum.array.map(\.bitPattern) == expectedSum.map(\.bitPattern))
  }

  /// More tiles than a tile has rows or columns: tokens of a long context, a large vocabulary.
  @Test(arguments: [(140_000, 1), (1, 140_000), (131_072, 3)]) func manyTiles(rows: Int, columns: Int) {
    var numbers = Numbers(seed: 8)
    let (a, b) = (numbers.array(rows), numbers.array(columns))
    let (left, right, c) = (Arena(a), Arena(b), Arena<Float>(count: rows * columns))
    Backend(threads: 2, matrixBackend: .native).multiply(
      MatrixProduct(left.matrix(rows, 1), right.matrix(1, columns), into: c.matrix(rows, columns)))
    #expect(c.array == a.flatMap { x in b.map { x * $0 } })
  }

  /// The same bits in all families of this CPU, of numbers of every kind; a number that is not one may be any such.
  @Test func familiesAgree() {
    let names = ["baseline", "haswell", "skylakex"]
    let families = names.compactMap { (name: String) in ck_table_named(name)?.pointee }
    ck_flush_denormals()
    var numbers = Numbers(seed: 77)
    let special: [Float] = [
      0, -0.0, .leastNonzeroMagnitude, -Float.leastNormalMagnitude / 3, .infinity, -.infinity, .nan, 1e-30, 3e38,
    ]
    let scratch = Arena<Float>(count: Backend.productScratch)
    for _ in 0..<150 {
      let (m, n, k) = (1 + numbers.index(below: 40), 1 + numbers.index(below: 70), numbers.index(below: 300))
      let share = numbers.index(below: 3) == 0 ? 40 : 1 << 40
      func values(_ count: Int) -> [Float] {
        (0..<count).map { _ in
          numbers.index(below: share) == 0 ? special[numbers.index(below: special.count)] : numbers.next()
        }
      }
      let (strideA, strideB) = (max(m, k) + numbers.index(below: 5), max(n, k) + numbers.index(below: 5))
      let (a, b) = (Arena(values(max(m, k) * strideA)), Arena(values(max(n, k) * strideB)))
      let (transposeA, transposeB) = (numbers.index(below: 2) == 1, numbers.index(below: 2) == 1)
      let results = families.map { table in
        let c = Arena<Float>(count: m * n)
        var tile = ck_product()
        (tile.rows, tile.columns, tile.inner) = (Int64(m), Int64(n), Int64(k))
        tile.a = UnsafePointer(a.buffer.base)
        (tile.a_row, tile.a_step) = transposeA ? (1, Int64(strideA)) : (Int64(strideA), 1)
        tile.b = UnsafePointer(b.buffer.base)
        (tile.b_column, tile.b_step) = transposeB ? (Int64(strideB), 1) : (1, Int64(strideB))
        (tile.c, tile.c_stride) = (c.buffer.base, Int64(n))
        table.product(&tile, scratch.buffer.base)
        return c.array.map { $0.isNaN ? Float.nan.bitPattern : $0.bitPattern }
      }
      for result in results { #expect(result == results[0]) }
    }
  }

  /// The logarithm of the C library, to half a unit in the last place and what fp64 cannot tell.
  @Test func logarithms() {
    let table = Backend(threads: 1).table
    var numbers = Numbers(seed: 3)
    for _ in 0..<20_000 {
      let x = Float(bitPattern: UInt32(0x0080_0000 + numbers.index(below: 0x7F00_0000)))
      let error = abs(Double(table.logarithm(x)) - Elementary.logarithm(Double(x)))
      #expect(error <= 0.5001 * Double(table.logarithm(x).ulp))
    }
    #expect(table.logarithm(1) == 0 && table.logarithm(0) == -.infinity && table.logarithm(.infinity) == .infinity)
    #expect(table.logarithm(-1).isNaN && table.logarithm(.nan).isNaN)
  }
}
