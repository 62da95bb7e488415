import Kernels

extension ParameterLayout {
  /// Fills `parameters` with random initial values: normal with `initializerRange` for matrices, one for norms, zero for
  /// biases. An element depends on the seed, its tensor's place in the layout and its own, so that every rank could fill
  /// any range by itself.
  public func initialize(
    _ parameters: Buffer<Float>, configuration: ModelConfiguration, seed: UInt64, compute: Compute
  ) {
    precondition(parameters.count == count)
    for (index, tensor) in tensors.enumerated() {
      let values = parameters[tensor.range]
      guard tensor.shape.count >= 2 else {
        values.fill(tensor.name.hasSuffix(".bias") ? 0 : 1)
        continue
      }
      let random = CounterBasedRandom(seed: seed, stream: UInt64(index))
      let deviation = Double(configuration.initializerRange)
      compute.team.forEachChunk(of: (values.count + 1) / 2, size: 1 << 14) { pairs, _ in
        for pair in pairs {
          let (a, b) = random.normals(UInt64(pair))
          values[2 * pair] = Float(a * deviation)
          if 2 * pair + 1 < values.count { values[2 * pair + 1] = Float(b * deviation) }
        }
      }
    }
  }
}
