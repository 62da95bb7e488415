import Kernels
import Optimizers

/// Exact sums as training makes them.
func fixedPoint(_ gradient: [Double]) -> Arena<Int64> {
  let sums = Arena<Int64>(count: gradient.count)
  for (index, value) in gradient.enumerated() { sums.buffer[index] = Int64(value * 0x1p52) }
  return sums
}

/// Minimises a function from a starting point, given its gradient, with one tensor.
func minimise(
  from start: [Float], settings: OptimizerSettings, rule: UpdateRule, steps: Int, learningRate: (Int) -> Double,
  _ gradient: ([Double]) -> [Double]
) -> [Float] {
  let all = 0..<start.count
  let backend = Backend(threads: 2)
  let optimizer = Optimizer(
    settings: settings, tensors: [OptimizedTensor(range: all, rule: rule)], shards: [all])
  let parameters = Arena<Float>(count: start.count)
  for index in all { parameters.buffer[index] = start[index] }
  for step in 1...steps {
    let sums = fixedPoint(gradient(parameters.buffer.array().map(Double.init)))
    optimizer.update(
      step: step, learningRate: learningRate(step), gradientScale: 1, sums: sums.buffer,
      parameters: parameters.buffer, backend: backend)
  }
  return parameters.buffer.array()
}
