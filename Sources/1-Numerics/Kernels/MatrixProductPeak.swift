extension Backend {
  /// The peak of matrix products on all threads of this team, FLOP/s: the best of six short runs of 512 × 512 × 512 a
  /// thread. Takes about 50 ms.
  public func matrixProductPeak() -> Double {
    let size = 512
    let memory = Arena<Float>(count: (2 + team.count) * size * size)
    func part(_ index: Int) -> Matrix {
      memory.buffer[index * size * size..<(index + 1) * size * size].matrix(size, size)
    }
    let (a, b) = (part(0), part(1))
    let products = (0..<team.count).map { MatrixProduct(a, b, into: part(2 + $0)) }
    var best = Double.infinity
    for _ in 0..<6 {
      let started = ContinuousClock.now
      multiply(products)
      best = min(best, (ContinuousClock.now - started) / .seconds(1))
    }
    return 2 * Double(size * size * size * team.count) / best
  }
}
