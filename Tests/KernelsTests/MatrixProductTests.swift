import Testing

@testable import Kernels

struct MatrixProductTests {
  struct Shape: Sendable {
    var m, n, k: Int
    init(_ m: Int, _ n: Int, _ k: Int) { (self.m, self.n, self.k) = (m, n, k) }
  }
  enum Form: CaseIterable { case plain, transposedB, transposedA }

  /// Results of a tile's rows and columns, of one more, and of two tiles.
  static let shapes = [
    Shape(1, 1, 1), Shape(3, 5, 7), Shape(MatrixProduct.tileRows, 40, 9),
    Shape(MatrixProduct.tileRows + 1, MatrixProduct.tileColumns + 6, 3), Shape(2 * MatrixProduct.tileRows + 1, 17, 5),
  ]

  private func transposed(_ x: [Double], rows: Int) -> [Double] {
    let columns = x.count / rows
    return (0..<x.count).map { x[$0 % rows * columns + $0 / rows] }
  }

  @Test(arguments: shapes, Form.allCases)
  func matchesDoublePrecision(shape: Shape, form: Form) {
    for backend in MatrixBackend.allCases {
      matchesDoublePrecision(shape, form, Backend(threads: 2, matrixBackend: backend))
    }
  }

  private func matchesDoublePrecision(_ shape: Shape, _ form: Form, _ backend: Backend) {
    let (m, n, k) = (shape.m, shape.n, shape.k)
    var numbers = Numbers()
    let (a, b) = (Arena(numbers.array(m * k)), Arena(numbers.array(k * n)))
    let before = numbers.array(m * n)
    let (c, sum) = (Arena<Float>([Float](repeating: .nan, count: m * n)), Arena(before))
    let products = [(c, false), (sum, true)].map { result, accumulate in
      switch form {
      case .plain: MatrixProduct(a.matrix(m, k), b.matrix(k, n), into: result.matrix(m, n), accumulate: accumulate)
      case .transposedB:
        MatrixProduct(a.matrix(m, k), b.matrix(n, k).transposed, into: result.matrix(m, n), accumulate: accumulate)
      case .transposedA:
        MatrixProduct(a.matrix(k, m).transposed, b.matrix(k, n), into: result.matrix(m, n), accumulate: accumulate)
      }
    }
    backend.multiply(products[0])
    backend.multiply(products[1])
    // Rows of a and columns of b, one behind the other.
    let left = form == .transposedA ? transposed(a.doubles, rows: k) : a.doubles
    let right = form == .transposedB ? b.doubles : transposed(b.doubles, rows: k)
    let expected = (0..<m * n).map { index in
      (0..<k).reduce(0.0) { $0 + left[index / n * k + $1] * right[index % n * k + $1] }
    }
    #expect(relativeError(c.array, expected) < 1e-6)
    #expect(relativeError(sum.array, zip(before.doubles, expected).map { $0 + $1 }) < 1e-6)
  }

  /// An expert without tokens: no rows are computed, and its weight's gradient is zero.
  @Test func emptyOperands() {
    let (weight, memory) = (Arena<Float>(Array(repeating: 1, count: 12)), Arena<Float>(Array(repeating: 5, count: 12)))
    let none = Arena<Float>(count: 0)
    let backend = Backend(threads: 2)
    backend.multiply([
      MatrixProduct(none.matrix(0, 4), weight.matrix(3, 4).transposed, into: none.matrix(0, 3)),
      MatrixProduct(none.matrix(0, 3).transposed, none.matrix(0, 4), into: memory.matrix(3, 4)),
    ])
    #expect(memory.array == Array(repeating: 0, count: 12))
  }

  @Test func aListGivesTheBitsOfItsProducts() {
    var numbers = Numbers()
    let (a, b) = (Arena(numbers.array(700 * 33)), Arena(numbers.array(33 * 20)))
    let (together, alone) = (Arena<Float>(count: 700 * 20), Arena<Float>(count: 700 * 20))
    let backend = Backend(threads: 2)
    func products(_ c: Arena<Float>) -> [MatrixProduct] {
      [0..<300, 300..<300, 300..<700].map {
        MatrixProduct(a.matrix(700, 33).rows($0), b.matrix(33, 20), into: c.matrix(700, 20).rows($0))
      }
    }
    backend.multiply(products(together))
    for product in products(alone) { backend.multiply(product) }
    #expect(together.array == alone.array)
  }
}
