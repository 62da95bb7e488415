import Kernels
import Testing

struct NormalizationTests {
  /// Root-mean-square norm of groups of `weight.count` elements.
  private func norm(_ x: [Double], _ weight: [Double], epsilon: Double) -> [Double] {
    let n = weight.count
    return (0..<x.count / n).flatMap { row in
      let values = x[row * n..<(row + 1) * n]
      let scale = 1 / (dot(values, values) / Double(n) + epsilon).squareRoot()
      return zip(values, weight).map { $0 * scale * $1 }
    }
  }

  @Test(arguments: [1, 16, 53, 70])
  func rmsNorm(columns: Int) {
    let rows = 35
    var numbers = Numbers()
    let x = Arena(numbers.array(rows * columns))
    let weight = Arena(numbers.array(columns))
    let dy = Arena(numbers.array(rows * columns))
    let before = numbers.array(rows * columns)
    let (y, dx) = (Arena<Float>(count: rows * columns), Arena(before))
    let (rstd, weightGradient) = (Arena<Float>(count: rows), Arena<Float>(count: columns))
    let backend = Backend(threads: 2)
    backend.rmsNorm(
      x.matrix(rows, columns), weight: weight.buffer, epsilon: 1e-3, into: y.matrix(rows, columns), rstd: rstd.buffer)
    backend.rmsNormBackward(
      dy: dy.matrix(rows, columns), x: x.matrix(rows, columns), weight: weight.buffer, rstd: rstd.buffer,
      addingTo: dx.matrix(rows, columns), weightGradient: weightGradient.buffer)

    #expect(relativeError(y.array, norm(x.doubles, weight.doubles, epsilon: 1e-3)) < 1e-6)
    let inputGradient = (0..<rows).flatMap { row in
      let range = row * columns..<(row + 1) * columns
      return finiteDifferences(at: Array(x.doubles[range])) {
        dot(dy.doubles[range], norm($0, weight.doubles, epsilon: 1e-3))
      }
    }
    #expect(relativeError(dx.array, zip(before.doubles, inputGradient).map { $0 + $1 }) < 1e-6)
    let (input, outputGradient) = (x.doubles, dy.doubles)
    let expected = finiteDifferences(at: weight.doubles) { dot(outputGradient, norm(input, $0, epsilon: 1e-3)) }
    #expect(relativeError(weightGradient.array, expected) < 1e-6)
  }

  /// Head by head, and all heads together: a weight as wide as the projection.
  @Test(arguments: [(3, 10), (1, 30), (1, 517)])
  func headNormLeavesOtherColumnsAlone(heads: Int, dimension: Int) {
    let (rows, others) = (9, 7)
    let (used, columns) = (heads * dimension, heads * dimension + others)
    var numbers = Numbers()
    let weight = Arena(numbers.array(dimension))
    let x = Arena(numbers.array(rows * columns))
    let (y, gradient) = (Arena(numbers.array(rows * columns)), Arena(numbers.array(rows * columns)))
    let (rstd, weightGradient) = (Arena<Float>(count: rows * heads), Arena<Float>(count: dimension))
    let view = { (arena: Arena<Float>) in arena.matrix(rows, columns).columns(0..<used) }
    let head = { (values: [Double]) in (0..<rows).flatMap { values[$0 * columns..<$0 * columns + used] } }
    let rest = { (values: [Float]) in (0..<rows).flatMap { values[$0 * columns + used..<($0 + 1) * columns] } }
    let (dy, untouched) = (head(gradient.doubles), (rest(y.array), rest(gradient.array)))
    let backend = Backend(threads: 2)
    backend.headNorm(view(x), weight: weight.buffer, epsilon: 1e-3, into: view(y), rstd: rstd.buffer)
    backend.headNormBackward(
      gradient: view(gradient), x: view(x), weight: weight.buffer, rstd: rstd.buffer,
      weightGradient: weightGradient.buffer)

    let input = head(x.doubles)
    #expect(relativeError(head(y.doubles).map(Float.init), norm(input, weight.doubles, epsilon: 1e-3)) < 1e-6)
    let dx = finiteDifferences(at: input) { dot(dy, norm($0, weight.doubles, epsilon: 1e-3)) }
    #expect(relativeError(head(gradient.doubles).map(Float.init), dx) < 1e-6)
    let expected = finiteDifferences(at: weight.doubles) { dot(dy, norm(input, $0, epsilon: 1e-3)) }
    #expect(relativeError(weightGradient.array, expected) < 1e-6)
    #expect(rest(y.array) == untouched.0 && rest(gradient.array) == untouched.1)
  }
}
