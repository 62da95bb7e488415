import Kernels
import Testing

/// Clamping of queries, keys and values, and queries scaled by their position.
struct ClampTests {
  /// PyTorch's `clamp`: an element at the bound itself has its gradient; NaN stays NaN and has none.
  @Test(arguments: [1, 31, 32, 70])
  func clampsAndForgetsTheGradientOutside(columns: Int) {
    let (rows, others, bound) = (21, 5, Float(0.5))
    var numbers = Numbers()
    var values = numbers.array(rows * (columns + others))
    for index in stride(from: 0, to: values.count, by: 11) { values[index] = index % 2 == 0 ? bound : -bound }
    values[columns / 2] = .nan
    let before = values
    let (x, gradient) = (Arena(values), Arena(numbers.array(rows * (columns + others))))
    let dy = gradient.array
    let outside = Arena<Int32>(count: Backend.clampWords(rows: rows, columns: columns))
    let view = { (arena: Arena<Float>) in arena.matrix(rows, columns + others).columns(0..<columns) }
    let backend = Backend(threads: 2)
    backend.clamp(view(x), to: bound, outside: outside.buffer)
    backend.clampBackward(view(gradient), outside: outside.buffer)
    var clamped = 0
    for index in before.indices {
      let (value, isUsed) = (before[index], index % (columns + others) < columns)
      let isInside = !isUsed || abs(value) <= bound
      clamped += isInside ? 0 : 1
      #expect(x.array[index].bitPattern == (isInside || value.isNaN ? value : value < 0 ? -bound : bound).bitPattern)
      #expect(gradient.array[index] == (isInside ? dy[index] : 0))
    }
    #expect(clamped > columns / 4)
    // Without a record of what was clamped.
    let again = Arena(before)
    backend.clamp(view(again), to: bound, outside: nil)
    #expect(again.array.map(\.bitPattern) == x.array.map(\.bitPattern))
  }

  /// The gradient of the clamp against finite differences, in fp64, away from the bound.
  @Test func matchesFiniteDifferences() {
    var numbers = Numbers()
    let values = numbers.array(64).filter { abs(abs($0) - 0.5) > 1e-3 }
    let (x, gradient) = (Arena(values), Arena(numbers.array(values.count)))
    let dy = gradient.doubles
    let outside = Arena<Int32>(count: Backend.clampWords(rows: 1, columns: values.count))
    let backend = Backend(threads: 1)
    backend.clamp(x.matrix(1, values.count), to: 0.5, outside: outside.buffer)
    backend.clampBackward(gradient.matrix(1, values.count), outside: outside.buffer)
    let expected = finiteDifferences(at: values.doubles) { dot(dy, $0.map { min(max($0, -0.5), 0.5) }) }
    #expect(relativeError(gradient.array, expected) < 1e-6)
  }

  @Test func scalesRowsByPosition() {
    let (rows, columns, others) = (37, 20, 3)
    var numbers = Numbers()
    let x = Arena(numbers.array(rows * (columns + others)))
    let before = x.array
    let factors = Arena((0..<9).map { 1 + Float($0) / 3 })
    let positions = Arena((0..<rows).map { Int32($0 % 9) })
    Backend(threads: 2).scaleRows(
      x.matrix(rows, columns + others).columns(0..<columns), positions: positions.buffer, factors: factors.buffer)
    for index in before.indices {
      let (row, column) = (index / (columns + others), index % (columns + others))
      #expect(x.array[index] == (column < columns ? before[index] * factors.buffer[row % 9] : before[index]))
    }
  }
}
