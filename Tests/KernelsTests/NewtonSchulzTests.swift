import Foundation
import Testing

@testable import Kernels

struct NewtonSchulzTests {
  struct Shape: Sendable, CustomStringConvertible {
    var rows, columns: Int
    init(_ rows: Int, _ columns: Int) { (self.rows, self.columns) = (rows, columns) }
    var count: Int { rows * columns }
    var description: String { "\(rows) × \(columns)" }
  }

  private func orthogonalise(
    _ matrices: [(Shape, [Float])], steps: Int = NewtonSchulz.defaultSteps, threads: Int = 2
  ) -> [[Float]] {
    let arenas = matrices.map { Arena($0.1) }
    let scratch = Arena<Float>(
      count: matrices.reduce(0) { $0 + NewtonSchulz.scratchFloats(rows: $1.0.rows, columns: $1.0.columns) })
    Backend(threads: threads).orthogonalise(
      zip(arenas, matrices).map { $0.matrix($1.0.rows, $1.0.columns) }, steps: steps, scratch: scratch.buffer)
    return arenas.map(\.array)
  }

  /// A matrix with orthonormal columns: `rows × columns` of a product of reflections, in fp64.
  private func orthonormal(_ rows: Int, _ columns: Int, seed: UInt64) -> [Double] {
    var numbers = Numbers(seed: seed)
    var matrix = (0..<rows * columns).map { $0 / columns == $0 % columns ? 1.0 : 0 }
    for _ in 0..<3 {
      let normal = numbers.array(rows).doubles
      let factor = 2 / dot(normal, normal)
      for column in 0..<columns {
        let projection = factor * (0..<rows).reduce(0) { $0 + normal[$1] * matrix[$1 * columns + column] }
        for row in 0..<rows { matrix[row * columns + column] -= projection * normal[row] }
      }
    }
    return matrix
  }

  /// U diag(s) Vᵀ.
  private func product(_ shape: Shape, _ u: [Double], _ s: [Double], _ v: [Double]) -> [Double] {
    (0..<shape.count).map { index in
      let (row, column) = (index / shape.columns, index % shape.columns)
      return s.indices.reduce(0) { $0 + u[row * s.count + $1] * s[$1] * v[column * s.count + $1] }
    }
  }

  /// The iteration changes only singular values, each independently: U S Vᵀ becomes U p(… p(S / ‖S‖)) Vᵀ.
  @Test(
    arguments: [Shape(1, 1), Shape(1, 40), Shape(40, 1), Shape(24, 24), Shape(30, 70), Shape(70, 30), Shape(20, 1100)],
    [1, 4, 5])
  func mapsSingularValues(shape: Shape, steps: Int) {
    let side = min(shape.rows, shape.columns)
    var numbers = Numbers(seed: 5)
    let values = (0..<side).map { _ in 3 * Double(abs(numbers.next())) + 0.2 }
    let u = orthonormal(shape.rows, side, seed: 7)
    let v = orthonormal(shape.columns, side, seed: 8)
    let norm = dot(values, values).squareRoot()
    let mapped = values.map { value in
      (0..<steps).reduce(value / norm) { s, _ in 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s }
    }
    let found = orthogonalise([(shape, product(shape, u, values, v).map { Float($0) })], steps: steps)[0]
    let error = relativeError(found, product(shape, u, mapped, v))
    #expect(error < 1e-5, "off by \(error)")
  }

  /// Singular values by Hestenes' rotations of columns against each other.
  private func singularValues(_ shape: Shape, _ matrix: [Double]) -> [Double] {
    let side = min(shape.rows, shape.columns)
    var lines = (0..<side).map { line in
      (0..<max(shape.rows, shape.columns)).map { place in
        shape.rows <= shape.columns ? matrix[line * shape.columns + place] : matrix[place * shape.columns + line]
      }
    }
    for _ in 0..<12 {
      for i in 0..<side {
        for j in 0..<i {
          let (a, b, c) = (dot(lines[i], lines[i]), dot(lines[j], lines[j]), dot(lines[i], lines[j]))
          guard abs(c) > 1e-14 * (a * b).squareRoot() else { continue }
          let ratio = (b - a) / (2 * c)
          let tangent = (ratio < 0 ? -1 : 1) / (abs(ratio) + (1 + ratio * ratio).squareRoot())
          let cosine = 1 / (1 + tangent * tangent).squareRoot()
          let (x, y) = (lines[i], lines[j])
          lines[i] = zip(x, y).map { cosine * ($0 - tangent * $1) }
          lines[j] = zip(x, y).map { cosine * (tangent * $0 + $1) }
        }
      }
    }
    return lines.map { dot($0, $0).squareRoot() }
  }

  @Test(arguments: [Shape(12, 40), Shape(40, 12), Shape(16, 16), Shape(1, 9)])
  func singularValuesComeNearOne(shape: Shape) {
    var numbers = Numbers(seed: 3)
    let random = numbers.array(shape.count)
    let before = singularValues(shape, random.doubles)
    let norm = dot(before, before).squareRoot()
    #expect(abs(norm - dot(random.doubles, random.doubles).squareRoot()) < 1e-6 * norm)
    #expect(before.allSatisfy { $0 / norm > 0.002 }, "smaller ones are not promised anything")
    let values = singularValues(shape, orthogonalise([(shape, random)])[0].doubles)
    #expect(values.allSatisfy { (0.6...1.3).contains($0) }, "\(values.sorted())")
  }

  /// A zero matrix stays zero, and one whose norm is below ε is not scaled up to a whole step.
  @Test func smallMatricesStaySmall() {
    let shape = Shape(3, 4)
    #expect(orthogonalise([(shape, Array(repeating: 0, count: 12))])[0] == Array(repeating: 0, count: 12))
    let tiny = orthogonalise([(shape, (0..<12).map { Float($0) * 1e-12 })])[0]
    #expect(tiny.allSatisfy { abs($0) < 0.2 } && tiny[11] > 0)
  }

  /// More than one tile each way, alone or together with others, and by any number of threads: the same bits.
  @Test func threadsAndCompanyLeaveNoTrace() {
    let shapes = [Shape(300, 1100), Shape(530, 270), Shape(5, 7), Shape(64, 64)]
    var numbers = Numbers(seed: 9)
    let matrices = shapes.map { ($0, numbers.array($0.count)) }
    let alone = matrices.map { orthogonalise([$0], steps: 2, threads: 1)[0].map(\.bitPattern) }
    for threads in [1, 2, 3] {
      let together = orthogonalise(matrices, steps: 2, threads: threads).map { $0.map(\.bitPattern) }
      #expect(together == alone, "\(threads) threads")
    }
  }
}
