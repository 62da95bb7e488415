import Kernels

/// Reproducible numbers in [-1, 1), with all their bits in use (SplitMix64).
struct Numbers {
  private var state: UInt64

  init(seed: UInt64 = 1) { state = seed }

  mutating func bits() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func next() -> Float { Float(bits() >> 40) * 0x1p-23 - 1 }
  mutating func array(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
  mutating func index(below bound: Int) -> Int { Int(bits() % UInt64(bound)) }
}

extension Arena {
  /// An arena with these values.
  convenience init(_ values: [Element]) {
    self.init(count: values.count)
    for (index, value) in values.enumerated() { buffer[index] = value }
  }

  var array: [Element] { buffer.array() }
}

extension Arena<Float> {
  func matrix(_ rows: Int, _ columns: Int) -> Matrix { buffer.matrix(rows, columns) }
  var doubles: [Double] { array.map(Double.init) }
}

extension Backend {
  /// `accumulate` for an array.
  func accumulate(_ gradient: [Float], into sums: Arena<Int64>, limit: Float) -> Bool {
    let gradient = Arena(gradient)
    return withExtendedLifetime(gradient) { accumulate(gradient.buffer, into: sums.buffer, limit: limit) }
  }
}

extension [Float] {
  var doubles: [Double] { map(Double.init) }
}

/// The largest difference, as a fraction of the largest expected magnitude.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
  guard actual.count == expected.count else { return .infinity }
  let scale = expected.map(abs).max() ?? 0
  let error = zip(actual, expected).map { abs(Double($0) - $1) }.reduce(0) { $1 > $0 || $1.isNaN ? $1 : $0 }
  return scale > 0 ? error / scale : error
}

/// The gradient of `f` by central differences, in fp64: good to about 1e-9 of its scale.
func finiteDifferences(at x: [Double], of f: ([Double]) -> Double) -> [Double] {
  let step = 1e-5
  return x.indices.map { index in
    var (above, below) = (x, x)
    above[index] += step
    below[index] -= step
    return (f(above) - f(below)) / (2 * step)
  }
}

func dot(_ a: some Sequence<Double>, _ b: some Sequence<Double>) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
