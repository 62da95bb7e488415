import Kernels
import Testing

struct ElementwiseTests {
  let rows = 41
  let columns = 150

  @Test func embedsEachToken() {
    var numbers = Numbers()
    let weight = Arena(numbers.array(7 * columns))
    let ids = Arena((0..<rows).map { _ in Int32(numbers.index(below: 7)) })
    let out = Arena<Float>(count: rows * columns)
    Backend(threads: 2).embed(ids.buffer, weight: weight.matrix(7, columns), into: out.matrix(rows, columns))
    #expect(out.array == ids.array.flatMap { weight.array[Int($0) * columns..<(Int($0) + 1) * columns] })
  }

  /// The embedding's gradient is accumulated directly in fixed point; tokens may share a row.
  @Test func accumulatesEmbeddingRows() {
    var numbers = Numbers()
    let gradient = Arena(numbers.array(rows * columns))
    let ids = Arena((0..<rows).map { _ in Int32(numbers.index(below: 5)) })
    let (sums, out) = (Arena<Int64>(count: 7 * columns), Arena<Float>(count: 7 * columns))
    let backend = Backend(threads: 2)
    #expect(backend.accumulateRows(gradient.matrix(rows, columns), ids: ids.buffer, into: sums.buffer, limit: 1.5))
    backend.convert(sums.buffer, to: out.buffer)
    var expected = [Double](repeating: 0, count: 7 * columns)
    for (row, id) in ids.array.enumerated() {
      for column in 0..<columns { expected[Int(id) * columns + column] += gradient.doubles[row * columns + column] }
    }
    #expect(relativeError(out.array, expected) < 1e-7)
    #expect(out.array[5 * columns..<7 * columns].allSatisfy { $0 == 0 }, "tokens 5 and 6 do not occur")
    #expect(!backend.accumulateRows(gradient.matrix(rows, columns), ids: ids.buffer, into: sums.buffer, limit: 0.5))
  }

  @Test func biasAndItsGradient() {
    var numbers = Numbers()
    let (y, bias) = (Arena(numbers.array(rows * columns)), Arena(numbers.array(columns)))
    let before = y.doubles
    let backend = Backend(threads: 2)
    backend.addBias(bias.buffer, to: y.matrix(rows, columns))
    #expect(relativeError(y.array, before.enumerated().map { $1 + bias.doubles[$0 % columns] }) < 1e-7)
    let sum = Arena(numbers.array(columns))
    backend.sumRows(y.matrix(rows, columns), into: sum.buffer)
    let expected = (0..<columns).map { column in (0..<rows).reduce(0) { $0 + y.doubles[$1 * columns + column] } }
    #expect(relativeError(sum.array, expected) < 1e-6)
  }

  @Test func addsAndCopiesViews() {
    var numbers = Numbers()
    let x = Arena(numbers.array(rows * columns))
    let (sum, copied) = (Arena(numbers.array(rows * columns)), Arena(numbers.array(rows * columns)))
    let (sumBefore, copyBefore) = (sum.array, copied.array)
    let backend = Backend(threads: 2)
    backend.add(x.matrix(rows, columns).columns(0..<70), to: sum.matrix(rows, columns).columns(80..<150))
    backend.copy(x.matrix(rows, columns).columns(0..<70), to: copied.matrix(rows, columns).columns(80..<150))
    for index in 0..<rows * columns {
      let isInside = index % columns >= 80
      #expect(sum.buffer[index] == (isInside ? sumBefore[index] + x.buffer[index - 80] : sumBefore[index]))
      #expect(copied.buffer[index] == (isInside ? x.buffer[index - 80] : copyBefore[index]))
    }
  }
}
