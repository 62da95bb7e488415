/// Elementary functions in fp64, of additions, multiplications, divisions and roots only, which IEEE 754 rounds: the same
/// bits with any C library and on any CPU, where `exp`, `log`, `sin` and `cos` of different libraries differ in the last
/// place.
///
/// Each reduces its argument and sums a series (Muller, "Elementary Functions", 2016, chapters 3 and 11); the error is
/// under one unit in the last place, within the ranges given.
public enum Elementary {
  // ln 2, its first 32 bits and the rest, so that multiples by an exponent are exact.
  private static let logTwo = (high: 0x1.62E4_2FEEp-1, low: 0x1.A39E_F357_93C7_6p-33)

  /// e to the power `x`; 0 below −708, infinity above 709.
  public static func exponential(_ x: Double) -> Double {
    guard x == x else { return x }
    if x < -708 { return 0 }
    if x > 709 { return .infinity }
    // x = n ln 2 + r, |r| ≤ ln 2 / 2
    let n = (x * 0x1.7154_7652_B82F_Ep0).rounded(.toNearestOrEven)
    let r = (x - n * logTwo.high) - n * logTwo.low
    let power = Double(bitPattern: UInt64(Int(n) + 1023) << 52)
    return (1 + (r + r * r * polynomial(r, exponentialSeries))) * power
  }

  /// The natural logarithm; −infinity of 0, NaN of a negative number. `x` is not subnormal.
  public static func logarithm(_ x: Double) -> Double {
    guard x > 0 else { return x == 0 ? -.infinity : .nan }
    guard x < .infinity else { return x }
    // x = 2^e m, with m between √½ and √2
    var exponent = Int(x.bitPattern >> 52) - 1023
    var m = Double(bitPattern: x.bitPattern & 0xF_FFFF_FFFF_FFFF | 1023 << 52)
    if m > 0x1.6A09_E667_F3BC_Dp0 { (m, exponent) = (m / 2, exponent + 1) }
    // log m = 2 artanh s = f − (f²/2 − s (f²/2 + s² …)), with f = m − 1 and s = f / (2 + f)
    let (f, e) = (m - 1, Double(exponent))
    let s = f / (2 + f)
    let (z, half) = (s * s, 0.5 * f * f)
    let correction = s * (half + z * polynomial(z, logarithmSeries)) + e * logTwo.low
    return e * logTwo.high - ((half - correction) - f)
  }

  /// `x` to the power `y`, `x` > 0: to about |y log x| units in the last place of fp64, so to a half of fp32's.
  public static func power(_ x: Double, _ y: Double) -> Double { exponential(y * logarithm(x)) }

  /// Sine and cosine, of |x| < 2³¹ radians.
  public static func sineAndCosine(_ x: Double) -> (sine: Double, cosine: Double) {
    precondition(abs(x) < 0x1p31, "an angle out of range")
    // x = n π/2 + r, |r| ≤ π/4: products by a part of π/2 are exact, the sums' errors are kept.
    let n = (x * 0x1.45F3_06DC_9C88_3p-1).rounded(.toNearestOrEven)
    var (high, low) = (x, 0.0)
    for part in halfPi {
      let product = n * part
      let sum = high - product
      let former = sum + product
      low += (high - former) - (product - (former - sum))
      high = sum
    }
    let r = high + low
    let rest = (high - r) + low
    let z = r * r
    let sine = r + (rest + r * z * polynomial(z, sineSeries))
    let half = 0.5 * z
    let nearOne = 1 - half
    let cosine = nearOne + (((1 - nearOne) - half) + (z * z * polynomial(z, cosineSeries) - r * rest))
    switch Int(n) & 3 {
    case 0: return (sine, cosine)
    case 1: return (cosine, -sine)
    case 2: return (-sine, -cosine)
    default: return (-cosine, sine)
    }
  }

  /// π/2, 22 bits at a time.
  private static let halfPi = [
    0x1.921F_Bp0, 0x1.5110_Bp-22, 0x1.1846_98p-44, 0x1.3198_Ap-69, 0x1.701B_8p-92,
  ]

  /// Coefficients of a series, the highest power first.
  private typealias Series = [Double]

  private static let exponentialSeries: Series = (2...13).reversed().map { 1 / factorial($0) }
  private static let logarithmSeries: Series = (1...12).reversed().map { 2 / Double(2 * $0 + 1) }
  private static let sineSeries: Series = (1...8).reversed().map { ($0 % 2 == 0 ? 1 : -1) / factorial(2 * $0 + 1) }
  private static let cosineSeries: Series = (2...9).reversed().map { ($0 % 2 == 0 ? 1 : -1) / factorial(2 * $0) }

  private static func factorial(_ n: Int) -> Double { (1...n).reduce(1) { $0 * Double($1) } }

  private static func polynomial(_ x: Double, _ series: Series) -> Double {
    var sum = series[0]
    for coefficient in series[1...] { sum = sum * x + coefficient }
    return sum
  }
}
