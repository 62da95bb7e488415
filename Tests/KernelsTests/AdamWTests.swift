import Foundation
import Kernels
import Testing

struct AdamWTests {
  /// `torch.optim.AdamW`, in fp64 (torch/optim/adamw.py, `_single_tensor_adamw`).
  private struct Reference {
    var parameter: Double
    var first = 0.0
    var second = 0.0

    mutating func update(_ gradient: Double, _ s: AdamWStep) {
      parameter *= 1 - s.learningRate * s.weightDecay
      first += (gradient - first) * (1 - s.beta1)
      second = second * s.beta2 + gradient * gradient * (1 - s.beta2)
      let stepSize = s.learningRate / (1 - pow(s.beta1, Double(s.step)))
      let denominator = second.squareRoot() / (1 - pow(s.beta2, Double(s.step))).squareRoot() + s.epsilon
      parameter -= stepSize * first / denominator
    }
  }

  @Test(arguments: [0, 0.1])
  func followsPyTorch(weightDecay: Double) {
    let count = 37
    var numbers = Numbers()
    let parameters = Arena(numbers.array(count))
    let (first, second) = (Arena<Float>(count: count), Arena<Float>(count: count))
    var references = parameters.doubles.map { Reference(parameter: $0) }
    let backend = Backend(threads: 2)
    for step in 1...50 {
      let settings = AdamWStep(
        learningRate: 1e-2 / Double(step), beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: weightDecay, step: step)
      let gradient = numbers.array(count)
      let sums = Arena<Int64>(count: count)
      #expect(backend.accumulate(gradient, into: sums, limit: 2))
      backend.adamW(
        settings, gradientScale: 0.5, accumulator: sums.buffer, first: first.buffer, second: second.buffer,
        parameters: parameters.buffer)
      for index in 0..<count { references[index].update(0.5 * Double(gradient[index]), settings) }
    }
    #expect(relativeError(parameters.array, references.map(\.parameter)) < 1e-6)
    #expect(relativeError(first.array, references.map(\.first)) < 1e-6)
    #expect(relativeError(second.array, references.map(\.second)) < 1e-6)
  }
}
