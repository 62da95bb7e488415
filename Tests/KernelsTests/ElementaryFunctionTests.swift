import Foundation
import Kernels
import Testing

/// Elementary functions against the C library's, which are good to a unit in the last place.
@Suite struct ElementaryFunctionTests {
  private func expectClose(
    _ actual: Double, _ expected: Double, units: Double = 2, of x: Double,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(abs(actual - expected) <= units * expected.ulp, "of \(x)", sourceLocation: sourceLocation)
  }

  @Test func exponentials() {
    var numbers = Numbers(seed: 1)
    for _ in 0..<20_000 {
      let x = Double(numbers.next()) * 700
      expectClose(Elementary.exponential(x), exp(x), of: x)
    }
    #expect(Elementary.exponential(0) == 1 && Elementary.exponential(-1000) == 0)
    #expect(Elementary.exponential(1000) == .infinity && Elementary.exponential(.nan).isNaN)
  }

  @Test func logarithms() {
    var numbers = Numbers(seed: 2)
    for _ in 0..<20_000 {
      let x = exp(Double(numbers.next()) * 700)
      expectClose(Elementary.logarithm(x), log(x), of: x)
      let near = 1 + Double(numbers.next()) * 1e-3
      expectClose(Elementary.logarithm(near), log(near), of: near)
    }
    #expect(Elementary.logarithm(1) == 0 && Elementary.logarithm(0) == -.infinity)
    #expect(Elementary.logarithm(-1).isNaN && Elementary.logarithm(.nan).isNaN)
    #expect(Elementary.logarithm(.infinity) == .infinity)
  }

  /// To the last place of fp32, which is what tables and schedules round to.
  @Test func powers() {
    var numbers = Numbers(seed: 3)
    for _ in 0..<20_000 {
      let (x, y) = (Double(1e4 + 9e3 * numbers.next()), Double(numbers.next()))
      expectClose(Elementary.power(x, y), pow(x, y), units: 40, of: x)
    }
  }

  @Test(arguments: [1.0, 100, 1e5, 2e9]) func sinesAndCosines(scale: Double) {
    var numbers = Numbers(seed: 4)
    for _ in 0..<20_000 {
      let x = Double(numbers.next()) * scale
      let (sine, cosine) = Elementary.sineAndCosine(x)
      expectClose(sine, sin(x), of: x)
      expectClose(cosine, cos(x), of: x)
    }
    #expect(Elementary.sineAndCosine(0) == (0, 1))
  }
}
