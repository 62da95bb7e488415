import Kernels
import Testing

@testable import Models

struct FixedPointGradientAccumulatorTests {
  private let backend = Backend(threads: 2)
  private let count = 96

  private func gradient(_ range: Range<Int>, _ scale: Float) -> Arena<Float> {
    let gradient = Arena<Float>(count: range.count)
    for (place, index) in range.enumerated() { gradient.buffer[place] = scale * Float(index - 40) }
    return gradient
  }

  /// One sum for any order of contributions: ranges that are added once, twice, overlapping, as rows, and never.
  private func fill(_ accumulator: FixedPointGradientAccumulator, scale: Float, everywhere: Bool = false) {
    for range in [16..<32, 32..<48, 16..<32, 24..<56, 0..<8] + (everywhere ? [0..<96] : []) {
      let gradient = gradient(range, scale)
      accumulator.add(gradient.buffer, at: range, backend: backend)
    }
    let rows = Arena<Float>(count: 8)
    for index in 0..<8 { rows.buffer[index] = scale * Float(index) }
    let ids = Arena<Int32>(count: 2)
    (ids.buffer[0], ids.buffer[1]) = (2, 0)
    accumulator.add(rows: rows.buffer.matrix(2, 4), ids: ids.buffer, at: 64..<80, backend: backend)
    accumulator.complete(0..<count, backend: backend)
  }

  @Test func sumsThatBeginWithoutZerosAreTheSame() {
    let restarted = FixedPointGradientAccumulator(count: count, microBatches: 8)
    let reset = FixedPointGradientAccumulator(count: count, microBatches: 8)
    for (scale, everywhere) in [(0.25, true), (-1.5, false), (0.75, true), (0.5, false)] as [(Float, Bool)] {
      restarted.restart()
      fill(restarted, scale: scale, everywhere: everywhere)
      reset.reset([0..<count], backend: backend)
      fill(reset, scale: scale, everywhere: everywhere)
      #expect(restarted.sums.array() == reset.sums.array())
      // Elements that only some of the sums get contributions to.
      for index in [9, 60, 90] { #expect((restarted.sums[index] != 0) == everywhere) }
      #expect(restarted.sums[0] != 0)
    }
  }

  @Test func aRefusalIsForgottenByTheNextSum() {
    let accumulator = FixedPointGradientAccumulator(count: count, microBatches: 8)
    accumulator.restart()
    let bad = Arena<Float>(count: 16)
    bad.buffer[3] = .nan
    accumulator.add(bad.buffer, at: 0..<16, backend: backend)
    #expect(accumulator.hasOverflowed)
    accumulator.restart()
    fill(accumulator, scale: 1)
    #expect(!accumulator.hasOverflowed)
  }

  /// A micro-batch may add less than half of 2¹¹ / M to an element, and all rows of an embedding together no more.
  @Test(arguments: [1, 3, 8]) func whatReachesHalfOfItsShareIsRefused(microBatches: Int) {
    let bound = FixedPoint.range / Float(microBatches) / 2
    let (rows, ids) = (Arena<Float>(count: 4), Arena<Int32>(count: 4))
    for row in 0..<4 { ids.buffer[row] = Int32(row) }
    for (value, isRefused) in [(bound, true), (-bound, true), (bound.nextDown, false), (-bound.nextDown, false)] {
      let accumulator = FixedPointGradientAccumulator(count: 16, microBatches: microBatches)
      accumulator.restart()
      let gradient = Arena<Float>(count: 16)
      gradient.buffer[5] = value
      accumulator.add(gradient.buffer, at: 0..<16, backend: backend)
      #expect(accumulator.hasOverflowed == isRefused, "\(value) of \(bound)")

      accumulator.restart()
      rows.buffer[2] = value / 4
      accumulator.add(rows: rows.buffer.matrix(4, 1), ids: ids.buffer, at: 0..<16, backend: backend)
      #expect(accumulator.hasOverflowed == isRefused, "rows of \(value / 4), four of them")
    }
  }

  @Test func writtenRangesTellWhatIsNew() {
    var written = WrittenRanges()
    #expect(written.insert(4..<8) == [4..<8])
    #expect(written.insert(4..<8) == [])
    #expect(written.insert(10..<12) == [10..<12])
    #expect(written.insert(0..<16) == [0..<4, 8..<10, 12..<16])
    #expect(written.insert(3..<3) == [])
  }
}
