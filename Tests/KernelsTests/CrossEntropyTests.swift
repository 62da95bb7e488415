import Foundation
import Kernels
import Testing

struct CrossEntropyTests {
  let width = 6
  let vocabulary = 37

  private func logits(_ hidden: ArraySlice<Double>, _ weight: [Double]) -> [Double] {
    (0..<vocabulary).map { dot(hidden, weight[$0 * width..<($0 + 1) * width]) }
  }

  private func logProbabilities(_ hidden: [Double], _ weight: [Double], _ targets: [Int32]) -> [Double] {
    targets.enumerated().map { token, target in
      guard target >= 0 else { return 0 }
      let scores = logits(hidden[token * width..<(token + 1) * width], weight)
      let maximum = scores.max() ?? 0
      return scores[Int(target)] - maximum - log(scores.reduce(0) { $0 + exp($1 - maximum) })
    }
  }

  /// Gradients of −scale · Σ log p: (p − onehot) Wᵀ and (p − onehot)ᵀ h.
  private func gradients(_ hidden: [Double], _ weight: [Double], _ targets: [Int32], scale: Double) -> (
    [Double], [Double]
  ) {
    var (dHidden, dWeight) = ([Double](repeating: 0, count: hidden.count), [Double](repeating: 0, count: weight.count))
    for (token, target) in targets.enumerated() where target >= 0 {
      let scores = logits(hidden[token * width..<(token + 1) * width], weight)
      let sum = scores.reduce(0) { $0 + exp($1) }
      for (id, score) in scores.enumerated() {
        let d = scale * (exp(score) / sum - (id == Int(target) ? 1 : 0))
        for i in 0..<width {
          dHidden[token * width + i] += d * weight[id * width + i]
          dWeight[id * width + i] += d * hidden[token * width + i]
        }
      }
    }
    return (dHidden, dWeight)
  }

  private struct Outcome {
    var logProbabilities, hiddenGradient, weightGradient: [Float]
  }

  private func run(_ hidden: [Float], _ weight: [Float], _ targets: [Int32], scale: Float?) -> Outcome {
    let hidden = Arena(hidden), weight = Arena(weight), ids = Arena(targets)
    let weightGradient = Arena([Float](repeating: 7, count: weight.count))
    let scratch = Arena<Float>(count: Backend.crossEntropyChunk * vocabulary)
    let logProbabilities = Arena<Float>(count: targets.count)
    Backend(threads: 2).crossEntropy(
      hidden: hidden.matrix(targets.count, width), weight: weight.matrix(vocabulary, width), targets: ids.buffer,
      logits: scratch.buffer, logProbabilities: logProbabilities.buffer,
      backward: scale.map { scale in ({ _, _ in scale }, weightGradient.matrix(vocabulary, width)) })
    return Outcome(
      logProbabilities: logProbabilities.array, hiddenGradient: hidden.array, weightGradient: weightGradient.array)
  }

  private static let chunk = Backend.crossEntropyChunk

  /// Up to three chunks of tokens, and the edges between them.
  @Test(arguments: [1, 5, chunk - 1, chunk, chunk + 1, 2 * chunk + 72])
  func matchesDoublePrecision(tokens: Int) {
    var numbers = Numbers()
    let (hidden, weight) = (numbers.array(tokens * width), numbers.array(vocabulary * width))
    let targets = (0..<tokens).map { $0 % 4 == 1 ? Int32(-1) : Int32(numbers.index(below: vocabulary)) }
    let result = run(hidden, weight, targets, scale: 0.25)
    let expected = logProbabilities(hidden.doubles, weight.doubles, targets)
    #expect(relativeError(result.logProbabilities, expected) < 1e-6)
    let (dHidden, dWeight) = gradients(hidden.doubles, weight.doubles, targets, scale: 0.25)
    #expect(relativeError(result.hiddenGradient, dHidden) < 1e-6)
    #expect(relativeError(result.weightGradient, dWeight) < 2e-6)
    for (token, target) in targets.enumerated() where target < 0 {
      #expect(result.logProbabilities[token] == 0)
      #expect(result.hiddenGradient[token * width..<(token + 1) * width].allSatisfy { $0 == 0 })
    }
    let forward = run(hidden, weight, targets, scale: nil)
    #expect(forward.logProbabilities == result.logProbabilities, "scoring and training give the same bits")
    #expect(forward.hiddenGradient == hidden, "without a gradient the input is left alone")
  }

  @Test func gradientMatchesFiniteDifferences() {
    var numbers = Numbers()
    let targets: [Int32] = [3, -1, 36, 0]
    let (hidden, weight) = (numbers.array(4 * width), numbers.array(vocabulary * width))
    let result = run(hidden, weight, targets, scale: 0.5)
    func loss(_ hidden: [Double], _ weight: [Double]) -> Double {
      -0.5 * logProbabilities(hidden, weight, targets).reduce(0, +)
    }
    let dHidden = finiteDifferences(at: hidden.doubles) { loss($0, weight.doubles) }
    #expect(relativeError(result.hiddenGradient, dHidden) < 1e-6)
    let dWeight = finiteDifferences(at: weight.doubles) { loss(hidden.doubles, $0) }
    #expect(relativeError(result.weightGradient, dWeight) < 1e-6)
  }

  /// A coefficient that follows from the log-probability: of the loss Σ p(target)², whose derivative is 2p².
  @Test func coefficientsMayDependOnLogProbabilities() {
    var numbers = Numbers()
    let targets: [Int32] = [3, -1, 36, 0]
    let (hidden, weight) = (Arena(numbers.array(4 * width)), Arena(numbers.array(vocabulary * width)))
    let (inputs, weightGradient) = (hidden.doubles, Arena<Float>(count: weight.count))
    let (scratch, logProbabilities, ids) = (Arena<Float>(count: 4 * vocabulary), Arena<Float>(count: 4), Arena(targets))
    Backend(threads: 1).crossEntropy(
      hidden: hidden.matrix(4, width), weight: weight.matrix(vocabulary, width), targets: ids.buffer,
      logits: scratch.buffer, logProbabilities: logProbabilities.buffer,
      backward: ({ _, logProbability in -2 * exp(2 * logProbability) }, weightGradient.matrix(vocabulary, width)))
    func loss(_ hidden: [Double], _ weight: [Double]) -> Double {
      zip(self.logProbabilities(hidden, weight, targets), targets).reduce(0) { $0 + ($1.1 < 0 ? 0 : exp(2 * $1.0)) }
    }
    #expect(relativeError(hidden.array, finiteDifferences(at: inputs) { loss($0, weight.doubles) }) < 2e-6)
    #expect(relativeError(weightGradient.array, finiteDifferences(at: weight.doubles) { loss(inputs, $0) }) < 2e-6)
  }

  @Test func tokensWithoutTargetsGiveNoGradient() {
    var numbers = Numbers()
    let result = run(
      numbers.array(9 * width), numbers.array(vocabulary * width), Array(repeating: -1, count: 9), scale: 1)
    #expect(result.weightGradient.allSatisfy { $0 == 0 } && result.hiddenGradient.allSatisfy { $0 == 0 })
  }

  /// NaN must not vanish in a softmax.
  @Test func notANumberIsSeen() {
    var weight = [Float](repeating: 1, count: vocabulary * width)
    weight[5 * width] = .nan
    let result = run(Array(repeating: 0.5, count: width), weight, [2], scale: nil)
    #expect(result.logProbabilities[0].isNaN)
  }

  @Test func lossesAreFixedPoint() {
    #expect(LossFixedPoint.decode(LossFixedPoint.encode(1.25, of: 1) ?? 0) == 1.25)
    #expect(LossFixedPoint.encode(.nan, of: 1) == nil && LossFixedPoint.encode(.infinity, of: 1) == nil)
    #expect(LossFixedPoint.encode(1024, of: 1 << 20) == nil && LossFixedPoint.encode(1023, of: 1 << 20) != nil)
  }
}
