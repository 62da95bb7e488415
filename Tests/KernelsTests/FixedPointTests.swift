import CKernels
import Foundation
import Kernels
import Testing

struct FixedPointTests {
  let count = 50

  private func sum(_ contributions: [[Float]], into sums: Arena<Int64>, threads: Int = 1) -> Bool {
    let backend = Backend(threads: threads)
    return contributions.allSatisfy {
      backend.accumulate($0, into: sums, limit: FixedPoint.range / Float(contributions.count))
    }
  }

  /// Magnitudes from 2⁻⁴⁰ to 1, where fp32 sums depend on their order.
  private func contributions(_ rounds: Int) -> [[Float]] {
    var numbers = Numbers()
    return (0..<rounds).map { _ in numbers.array(count).map { $0 * exp2(-40 * abs(numbers.next())) } }
  }

  @Test func orderAndGroupingLeaveNoTrace() {
    let parts = contributions(200)
    let whole = Arena<Int64>(count: count)
    #expect(sum(parts, into: whole))
    let shuffled = Arena<Int64>(count: count)
    #expect(sum(parts.reversed(), into: shuffled, threads: 3))
    #expect(whole.array == shuffled.array)
    let groups = [0..<1, 1..<117, 117..<200].map { range in
      let group = Arena<Int64>(count: count)
      #expect(sum(Array(parts[range]), into: group))
      return group.array
    }
    #expect(whole.array == (0..<count).map { index in groups.reduce(0) { $0 + $1[index] } })
  }

  @Test func closerThanFloats() {
    let parts = contributions(1000)
    let (sums, out) = (Arena<Int64>(count: count), Arena<Float>(count: count))
    #expect(sum(parts, into: sums))
    Backend(threads: 1).convert(sums.buffer, to: out.buffer)
    let expected = (0..<count).map { index in parts.reduce(0.0) { $0 + Double($1[index]) } }
    let floats = (0..<count).map { index in parts.reduce(Float(0)) { $0 + $1[index] } }
    for index in 0..<count {
      // One rounding per contribution, of 2⁻⁵³ at most, and one to fp32.
      #expect(abs(Double(out.buffer[index]) - expected[index]) <= 1000 * 0x1p-53 + abs(expected[index]) * 0x1p-24)
    }
    #expect(relativeError(out.array, expected) * 10 < relativeError(floats, expected))
  }

  @Test func roundTrip() {
    let values: [Float] = [0, -0, 1, -1, 0.1, 2047.9998, -2047.9998, 0x1p-52, -0x1.8p-50, 0x1p-60]
    let (sums, out) = (Arena<Int64>(count: values.count), Arena<Float>(count: values.count))
    let backend = Backend(threads: 1)
    #expect(backend.accumulate(values, into: sums, limit: FixedPoint.range))
    backend.convert(sums.buffer, to: out.buffer)
    #expect(out.array == values.dropLast() + [0], "exact above the resolution, 0 below it")
  }

  /// In a whole vector or in a tail.
  @Test(arguments: [Float.nan, -.nan, .infinity, -.infinity, 16, -16, 1e38])
  func refuses(value: Float) {
    for length in [1, 16, 50] {
      for place in 0..<length {
        var gradient = [Float](repeating: 15.999, count: length)
        #expect(Backend(threads: 1).accumulate(gradient, into: Arena(count: length), limit: 16))
        gradient[place] = value
        #expect(!Backend(threads: 1).accumulate(gradient, into: Arena(count: length), limit: 16))
      }
    }
  }

  @Test func sumsOfSquaresAreByBlock() {
    var numbers = Numbers()
    let values = numbers.array(1000)
    let (sums, squares) = (Arena<Int64>(count: 1000), Arena<Double>(count: 4))
    let backend = Backend(threads: 2)
    #expect(backend.accumulate(values, into: sums, limit: 2))
    backend.sumsOfSquares(sums.buffer, blockSize: 256, into: squares.buffer)
    for block in 0..<4 {
      let part = values[block * 256..<min(1000, (block + 1) * 256)].map(Double.init)
      #expect(abs(squares.buffer[block] - dot(part, part)) < 1e-12 * dot(part, part))
    }
  }

  static let families = ["baseline", "haswell", "skylakex"].filter { (name: String) in ck_table_named(name) != nil }

  /// Every family converts as the language does, whatever its instructions: ties, both signs, both halves of 64 bits, in
  /// whole vectors and in tails.
  @Test(arguments: families) func conversionsAreRoundedOnce(family: String) throws {
    let table = try #require(ck_table_named(family)).pointee
    var random = SystemRandomNumberGenerator()
    var values: [Float] = [0, -0, 0x1p-52, 0x1p-53, -0x1p-53, 0x1.8p-52, -0x1.8p-52, 0x1p-126, 2047.9998, -2047.9998]
    for exponent in -60...10 {
      for _ in 0..<40 {
        let mantissa = Float(UInt32.random(in: 0..<1 << 23, using: &random)) * 0x1p-23
        values.append((Bool.random() ? 1 : -1) * (1 + mantissa) * exp2(Float(exponent)))
      }
      // Half-way between two integers, and between two multiples of 2³².
      values += [0x1.8p0, 0x1.000006p0, -0x1.fffffep0].map { $0 * exp2(Float(exponent)) }
    }
    let rounded = values.map { Int64((Double($0) * 0x1p52).rounded(.toNearestOrEven)) }
    let before = values.map { _ in Int64.random(in: -1 << 62...1 << 62, using: &random) }
    var sums = before
    #expect(table.accumulate_fixed(Int64(values.count), values, 2048, &sums, false))
    #expect(sums == zip(before, rounded).map { $0 &+ $1 })
    #expect(table.accumulate_fixed(Int64(values.count), values, 2048, &sums, true))
    #expect(sums == rounded)

    sums += before + [.max, .min, 1, -1, 1 << 53 + 1, -(1 << 53) - 1, 0xffff_ffff, -0x1_0000_0000]
    var floats = [Float](repeating: .nan, count: sums.count)
    table.from_fixed(Int64(sums.count), sums, &floats)
    #expect(floats == sums.map { Float(Double($0) * 0x1p-52) })
  }
}
