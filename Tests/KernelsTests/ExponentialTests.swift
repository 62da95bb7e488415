import CKernels
import Foundation
import Testing

/// The exponential of softmax and SiLU, tested through `softmax_backward` (p = exp(s · 1 − 0)).
struct ExponentialTests {
  private func exponentials(_ x: [Float]) throws -> [Float] {
    ck_flush_denormals()
    var (x, gradient) = (x, [Float](repeating: 0, count: x.count))
    let table = try #require(ck_table_named(String(cString: ck_best_family()))).pointee
    table.softmax_backward(Int64(x.count), 0, Int64(x.count), 1, 0, 0, &x, &gradient)
    return x
  }

  private func softmax(_ x: [Float]) throws -> (p: [Float], logSumExp: Float) {
    var p = x
    let table = try #require(ck_table_named(String(cString: ck_best_family()))).pointee
    let logSumExp = table.softmax_row(Int64(p.count), &p)
    return (p, logSumExp)
  }

  @Test func isAccurateOverItsRange() throws {
    let x = (0...200_000).map { -87 + 175 * Float($0) / 200_000 }
    var largest = 0.0
    for (argument, value) in zip(x, try exponentials(x)) {
      let exact = exp(Double(argument))
      largest = max(largest, abs(Double(value) - exact) / (exact.ulp * 0x1p29))
    }
    #expect(largest < 1, "largest error \(largest) ulp")
  }

  @Test func ends() throws {
    #expect(try exponentials([0, -0, -87.01, -1000, -.greatestFiniteMagnitude, -.infinity]) == [1, 1, 0, 0, 0, 0])
    #expect(try exponentials([-87])[0] > 0)
    #expect(try exponentials([88])[0].isFinite)
    #expect(try exponentials([.nan])[0].isNaN)
  }

  @Test func softmaxOfEqualValues() throws {
    for value in [Float(0), 1e4, -1e30, 3e38] {
      let (p, logSumExp) = try softmax(Array(repeating: value, count: 40))
      #expect(p.allSatisfy { abs($0 - 1 / 40) < 1e-8 })
      #expect(logSumExp == value + log(Float(40)))
    }
  }

  @Test func softmaxOfHugeValues() throws {
    #expect(try softmax([1e30, -1e30, 0, 1e30]).p == [0.5, 0, 0, 0.5])
    #expect(try softmax([0, -.infinity, -1e38]).p == [1, 0, 0])
    #expect(try softmax([5]).p == [1])
    #expect(try softmax([1, .nan, 2]).p.allSatisfy(\.isNaN))
  }

  /// Rows in blocks, with masks that hide all of a block: the running maximum and sum end where the whole row's do.
  @Test func onlineSoftmaxIsTheWholeRows() throws {
    var numbers = Numbers()
    let scores = numbers.array(96).enumerated().map { 20 * $1 + Float($0) }  // each block raises the maximum
    let table = try #require(ck_table_named(String(cString: ck_best_family()))).pointee
    var (maximum, sum) = (-Float.infinity, Float(0))
    for block in 0..<3 {
      var part = Array(scores[block * 32..<(block + 1) * 32])
      let (low, high): (Int64, Int64) = block == 0 ? (7, 32) : block == 1 ? (9, 9) : (0, 20)
      let factor = table.softmax_online(32, low, high, 0.5, &part, &maximum, &sum)
      #expect(part[..<Int(low)].allSatisfy { $0 == 0 } && part[Int(high)...].allSatisfy { $0 == 0 })
      if block == 1 { #expect(factor == 1) }
    }
    let visible = (Array(scores[7..<32]) + scores[64..<84]).map { 0.5 * Double($0) }
    let expected = log(visible.reduce(0) { $0 + exp($1) })
    #expect(abs(Double(maximum + log(sum)) - expected) < 1e-6 * abs(expected))
  }
}
