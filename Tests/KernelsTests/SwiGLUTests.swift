import Foundation
import Kernels
import Testing

struct SwiGLUTests {
  private func swiGLU(_ gateUp: [Double], columns: Int) -> [Double] {
    (0..<gateUp.count / 2).map {
      let (row, column) = ($0 / columns, $0 % columns)
      let gate = gateUp[row * 2 * columns + column]
      return gate / (1 + exp(-gate)) * gateUp[row * 2 * columns + columns + column]
    }
  }

  @Test(arguments: [1, 16, 45])
  func matchesDoublePrecision(columns: Int) {
    let rows = 33
    var numbers = Numbers()
    let gateUp = Arena(numbers.array(rows * 2 * columns).map { 8 * $0 })
    let input = gateUp.doubles
    let outGradient = Arena(numbers.array(rows * columns))
    let (out, again) = (Arena<Float>(count: rows * columns), Arena<Float>(count: rows * columns))
    let backend = Backend(threads: 2)
    backend.swiGLU(gateUp.matrix(rows, 2 * columns), into: out.matrix(rows, columns))
    backend.swiGLUBackward(
      outGradient: outGradient.matrix(rows, columns), gateUpToGradient: gateUp.matrix(rows, 2 * columns),
      out: again.matrix(rows, columns))
    #expect(relativeError(out.array, swiGLU(input, columns: columns)) < 1e-6)
    #expect(out.array == again.array, "the backward pass recomputes the activation")
    let expected = (0..<rows).flatMap { row in
      let gradient = outGradient.doubles[row * columns..<(row + 1) * columns]
      return finiteDifferences(at: Array(input[row * 2 * columns..<(row + 1) * 2 * columns])) {
        dot(gradient, swiGLU($0, columns: columns))
      }
    }
    #expect(relativeError(gateUp.array, expected) < 1e-6)
  }

  @Test func saturates() {
    let gateUp = Arena<Float>([-1e4, -90, 0, 90, 1e4, 1, 1, 1, 1, 1])
    let out = Arena<Float>(count: 5)
    Backend(threads: 1).swiGLU(gateUp.matrix(1, 10), into: out.matrix(1, 5))
    #expect(out.array[2...] == [0, 90, 1e4])
    #expect(out.array[..<2].allSatisfy { abs($0) < 1e-33 })
  }
}
