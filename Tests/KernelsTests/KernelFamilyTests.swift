import CKernels
import Foundation
import Testing

/// Every function of every family's table that this CPU can run gives the bits of the baseline, for elements in a vector body
/// or a tail and at any address.
struct KernelFamilyTests {
  static let families = (["baseline", "haswell", "skylakex"] as [String]).filter { ck_table_named($0) != nil }
  /// Whole vectors of 16, tails, and both.
  static let lengths: [Int] = [1, 5, 15, 16, 17, 64, 131]

  typealias Function = @Sendable (_ table: ck_table, _ n: Int, _ x: inout [Float], _ y: inout [Float]) -> [Float]

  /// Each function as one of two arrays of at least `2 · n` elements, which it may change.
  static let functions: [(name: String, run: Function)] = [
    ("dot", { t, n, x, y in [t.dot(Int64(n), x, y)] }),
    (
      "axpy",
      { t, n, x, y in
        t.axpy(Int64(n), 0.3, x, &y); return []
      }
    ),
    (
      "scale",
      { t, n, x, y in
        t.scale(Int64(n), 0.3, x, &y); return []
      }
    ),
    (
      "clamp and its gradient",
      { t, n, x, y in
        var outside = [Int32](repeating: 0, count: 2 * ((n + 31) / 32))
        t.clamp(2, Int64(n), 0.4, &x, Int64(n), &outside)
        t.clamp_backward(2, Int64(n), outside, &y, Int64(n))
        return outside.map { Float($0) }
      }
    ),
    (
      "sum_rows",
      { t, n, x, y in
        t.sum_rows(2, Int64(n), x, Int64(n), &y, true); return []
      }
    ),
    (
      "sum_of_squares",
      { t, n, x, y in
        let bits = t.sum_of_squares(Int64(n), x).bitPattern
        return [UInt32(truncatingIfNeeded: bits), UInt32(bits >> 32)].map { Float(bitPattern: $0) }
      }
    ),
    (
      "rms_norm_forward",
      { t, n, x, y in
        var (out, rstd) = (x, [Float](repeating: 0, count: 2))
        t.rms_norm_forward(2, Int64(n), x, Int64(n), y, 1e-5, &out, Int64(n), &rstd)
        return out + rstd
      }
    ),
    (
      "rms_norm_backward_input",
      { t, n, x, y in
        var out = y
        for accumulate in [false, true] {
          t.rms_norm_backward_input(2, Int64(n), y, Int64(n), x, Int64(n), y, [1.1, 0.7], &out, Int64(n), accumulate)
        }
        return out
      }
    ),
    (
      "rms_norm_backward_weight",
      { t, n, x, y in
        var out = y
        t.rms_norm_backward_weight(2, Int64(n), y, Int64(n), x, Int64(n), [1.1, 0.7], 1, &out, true)
        return out
      }
    ),
    (
      "rotate",
      { t, n, x, y in
        t.rotate(1, 1, Int64(2 * n), &x, 0, [0], y, Array(y.reversed()), -1); return []
      }
    ),
    (
      "swiglu_forward",
      { t, n, x, y in
        t.swiglu_forward(1, Int64(n), x, &y); return []
      }
    ),
    (
      "swiglu_backward",
      { t, n, x, y in
        var out = y
        t.swiglu_backward(1, Int64(n), y, &x, &out)
        return out
      }
    ),
    (
      "softmax_online",
      { t, n, x, y in
        var (maximum, sum) = (Float(0.25), Float(1.5))
        let factor = t.softmax_online(Int64(n), Int64(n / 7), Int64(n - n / 5), 3, &x, &maximum, &sum)
        return [factor, maximum, sum]
      }
    ),
    (
      "softmax_backward",
      { t, n, x, y in
        t.softmax_backward(Int64(n), Int64(n / 7), Int64(n - n / 5), 3, 2, 0.1, &x, &y)
        return []
      }
    ),
    ("softmax_row", { t, n, x, y in [t.softmax_row(Int64(n), &x)] }),
    ("sigmoid_row", { t, n, x, y in [t.sigmoid_row(Int64(n), &x)] }),
    (
      "log_sum_exp_row",
      { t, n, x, y in
        var sum: Float = 0
        return [t.log_sum_exp_row(Int64(n), &x, nil), t.log_sum_exp_row(Int64(n), &x, &sum), sum]
      }
    ),
    (
      "fixed point",
      { t, n, x, y in
        var sums = [Int64](repeating: 3 << 40, count: n)
        #expect(t.accumulate_fixed(Int64(n), x, 2048, &sums, false))
        t.from_fixed(Int64(n), sums, &y)
        return []
      }
    ),
    (
      "fixed point, replacing",
      { t, n, x, y in
        var sums = [Int64](repeating: 3 << 40, count: n)
        #expect(t.accumulate_fixed(Int64(n), x, 2048, &sums, true))
        t.from_fixed(Int64(n), sums, &y)
        return []
      }
    ),
    (
      "adamw",
      { t, n, x, y in
        var settings = ck_adamw(
          decay: 0.999, step_size: 0.01, new_first: 0.1, new_second: 0.05, beta2: 0.95, second_correction: 1.3,
          epsilon: 1e-8)
        var (first, second) = (y, y.map { $0 * $0 })
        t.adamw(Int64(n), &settings, 0.7, x, &first, &second, &y)
        return first + second
      }
    ),
  ]

  private func bits(_ function: Function, _ family: String, _ x: [Float], _ y: [Float], n: Int) throws -> [UInt32] {
    ck_flush_denormals()
    var (x, y) = (x, y)
    let result = function(try #require(ck_table_named(family)).pointee, n, &x, &y)
    return (result + x + y).map(\.bitPattern)
  }

  @Test(arguments: families, functions.map(\.name))
  func givesTheBitsOfTheBaseline(family: String, name: String) throws {
    let function = try #require(Self.functions.first { $0.name == name }).run
    for n in Self.lengths {
      var numbers = Numbers(seed: UInt64(n))
      for scale in [Float(1), 30, 1e-20] {
        let (x, y) = (numbers.array(2 * n).map { scale * $0 }, numbers.array(2 * n).map { scale * $0 })
        #expect(try bits(function, family, x, y, n: n) == bits(function, "baseline", x, y, n: n), "length \(n)")
      }
    }
  }

  /// An element-wise loop on any part of an array gives what it gives on the whole.
  @Test(arguments: families, ["axpy", "scale", "sum_rows", "swiglu", "softmax_backward", "fixed point", "adamw"])
  func placeLeavesNoTrace(family: String, name: String) throws {
    let table = try #require(ck_table_named(family)).pointee
    ck_flush_denormals()
    let n = 100
    var numbers = Numbers()
    let (x, y) = (numbers.array(n).map { 4 * $0 }, numbers.array(n))
    func run(_ range: Range<Int>) -> [UInt32] {
      let (count, a) = (Int64(range.count), Array(x[range]))
      var (b, c, d) = (Array(y[range]), a, a.map { $0 * $0 })
      switch name {
      case "axpy": table.axpy(count, 0.3, a, &b)
      case "scale": table.scale(count, 0.3, a, &b)
      case "sum_rows": table.sum_rows(1, count, a, count, &b, true)
      case "softmax_backward": table.softmax_backward(count, 0, count, 0.5, 1, 0.1, &c, &b)
      case "swiglu":
        var gateUp = a + b
        table.swiglu_forward(1, count, gateUp, &c)
        table.swiglu_backward(1, count, d, &gateUp, &b)
        d = Array(gateUp.prefix(range.count))
      case "fixed point":
        var sums = [Int64](repeating: 1 << 50, count: range.count)
        _ = table.accumulate_fixed(count, a, 2048, &sums, false)
        table.from_fixed(count, sums, &b)
      default:
        var settings = ck_adamw(
          decay: 0.999, step_size: 0.01, new_first: 0.1, new_second: 0.05, beta2: 0.95, second_correction: 1.3,
          epsilon: 1e-8)
        table.adamw(count, &settings, 0.7, a, &c, &d, &b)
      }
      return zip(zip(b, c), d).flatMap { [$0.0.bitPattern, $0.1.bitPattern, $1.bitPattern] }
    }
    let whole = run(0..<n)
    for first in 0..<20 {
      for last in [first + 1, first + 9, first + 16, 61, 100] {
        #expect(run(first..<last) == Array(whole[3 * first..<3 * last]), "[\(first), \(last))")
      }
    }
  }

  /// A dot product's bits depend on its elements alone, not on their addresses.
  @Test(arguments: families)
  func addressLeavesNoTrace(family: String) throws {
    let table = try #require(ck_table_named(family)).pointee
    var numbers = Numbers()
    let (a, b) = (numbers.array(77), numbers.array(77))
    let expected = (table.dot(77, a, b), table.sum_of_squares(77, a))
    for offset in 1..<17 {
      let shifted = [Float](repeating: .nan, count: offset) + a + [.nan]
      shifted.withUnsafeBufferPointer { shifted in
        guard let base = shifted.baseAddress else { return }
        #expect(table.dot(77, base + offset, b) == expected.0 && table.sum_of_squares(77, base + offset) == expected.1)
      }
    }
  }
}
