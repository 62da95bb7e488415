import Foundation
import Kernels
import Testing

/// Sigmoid scores, selection by score and bias within groups, and their gradient, against fp64. ModelsTests compares
/// whole models with transformers.
struct SigmoidRoutingTests {
  private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// A token's choices, best first, by the paper: groups by their two best experts, then experts.
  private func choice(_ keys: [Double], _ router: Router, _ k: Int) -> [Int] {
    let size = keys.count / router.groups
    let groups = (0..<router.groups).map { group in
      keys[group * size..<(group + 1) * size].sorted(by: >).prefix(2).reduce(0, +)
    }
    let open = Set(groups.indices.sorted { (-groups[$0], $0) < (-groups[$1], $1) }.prefix(router.groupsPerToken))
    return Array(
      keys.indices.filter { open.contains($0 / size) }.sorted { (-keys[$0], $0) < (-keys[$1], $1) }.prefix(k))
  }

  @Test(arguments: [(12, 4, 2, 3), (12, 1, 1, 3), (160, 8, 4, 8), (9, 3, 3, 9)], [false, true])
  func choosesByScoreAndBiasWithinGroups(shape: (Int, Int, Int, Int), renormalise: Bool) {
    let (experts, groups, groupsPerToken, k) = shape
    let tokens = 70
    let router = Router(
      scoring: .sigmoid, renormalise: renormalise, scalingFactor: 2.5, groups: groups, groupsPerToken: groupsPerToken)
    var numbers = Numbers()
    let logits = numbers.array(tokens * experts).map { 3 * $0 }
    let bias = numbers.array(experts).map { 0.3 * $0 }
    let routed = Routed(logits, experts: experts, k: k, router: router, expertBias: bias)
    var biasDecided = false
    for token in 0..<tokens {
      let scores = logits[token * experts..<(token + 1) * experts].map { sigmoid(Double($0)) }
      let expected = choice(zip(scores, bias).map { $0 + Double($1) }, router, k)
      biasDecided = biasDecided || Set(expected) != Set(choice(scores, router, k))
      #expect(routed.experts[token * k..<(token + 1) * k].elementsEqual(expected.map(Int32.init)))
      let total = renormalise ? expected.reduce(0) { $0 + scores[$1] } : 1
      let weights = Array(routed.weights.array[token * k..<(token + 1) * k])
      #expect(relativeError(weights, expected.map { 2.5 * scores[$0] / total }) < 1e-6)
      #expect(abs(Double(routed.normaliser.buffer[token]) / scores.reduce(0, +) - 1) < 1e-6)
    }
    #expect(relativeError(routed.scores.array, logits.map { sigmoid(Double($0)) }) < 1e-6)
    #expect(biasDecided || k == experts, "the test would not notice a bias that is left out")
  }

  @Test func tiesGoToTheLowerIndex() {
    func experts(_ logits: [Float], k: Int, groups: Int = 1, groupsPerToken: Int = 1, bias: [Float]? = nil) -> [Int32] {
      Routed(
        logits, experts: logits.count, k: k,
        router: Router(scoring: .sigmoid, renormalise: true, groups: groups, groupsPerToken: groupsPerToken),
        expertBias: bias
      ).experts
    }
    #expect(experts([0, 0, 0, 0], k: 3) == [0, 1, 2])
    #expect(experts([1, 2, 1, 2], k: 3) == [1, 3, 0])
    #expect(experts([0, 0, 0, 0, 0, 0], k: 2, groups: 3, groupsPerToken: 2) == [0, 1])
    #expect(
      experts([0, 0, 1, 0, 0, 1], k: 3, groups: 3, groupsPerToken: 2) == [2, 5, 3], "groups 1 and 2 are as good")
    #expect(experts([0, 1, 1, 0, 0, 1], k: 2, groups: 3, groupsPerToken: 1) == [1, 0])
    #expect(experts([0, 0, 0, 0], k: 2, bias: [0, 0.5, 0, 0.5]) == [1, 3])
  }

  /// A group's score is the sum of its two best experts, not its best one or all.
  @Test func groupsCountTheirTwoBest() {
    let router = Router(scoring: .sigmoid, renormalise: true, groups: 2)
    let logits: [Float] = [3, -3, -3, 1, 1, -9]
    #expect(Routed(logits, experts: 6, k: 2, router: router).experts == [3, 4])
    #expect(Routed([3, 0, -9, 1, 1, 1], experts: 6, k: 2, router: router).experts == [3, 4])
  }

  @Test func anExpertMayStarveAndAnotherTakeAll() {
    var numbers = Numbers()
    let logits = numbers.array(90 * 6)
    let router = Router(scoring: .sigmoid, renormalise: true)
    let starved = Routed(logits, experts: 6, k: 2, router: router, expertBias: [0, 0, -9, 0, 0, 0])
    #expect(starved.counts[2] == 0 && starved.counts.reduce(0, +) == 180)
    let crowded = Routed(logits, experts: 6, k: 1, router: router, expertBias: [0, 0, 0, 0, 9, 0])
    #expect(crowded.counts == [0, 0, 0, 0, 90, 0])
    #expect(crowded.weights.array.allSatisfy { $0 == 1 })
  }

  /// Scores that underflow give weights and gradients of zero, not NaN.
  @Test func nobodyWanted() {
    let routed = Routed(
      [Float](repeating: -300, count: 4), experts: 4, k: 2, router: .init(scoring: .sigmoid, renormalise: true))
    #expect(routed.experts == [0, 1] && routed.weights.array == [0, 0])
    let (weightGradient, balance) = (Arena<Float>([1, 2]), Arena<Float>([1, 2, 3, 4]))
    Backend(threads: 1).routeBackward(
      routed.matrix, router: routed.router, topK: 2, routing: routed.routing, weightGradient: weightGradient.buffer,
      balance: balance.buffer, zScale: 0, normaliser: routed.normaliser.buffer)
    #expect(routed.scores.array == [0, 0, 0, 0])
  }

  /// A loss of the chosen weights and of the scores divided by their sum, as the balancing loss has them.
  @Test(arguments: [false, true], [1, 2, 4])
  func backwardMatchesFiniteDifferences(renormalise: Bool, k: Int) {
    let (tokens, experts, factor) = (6, 4, 2.5)
    let router = Router(scoring: .sigmoid, renormalise: renormalise, scalingFactor: Float(factor))
    var numbers = Numbers()
    let logits = numbers.array(tokens * experts).map { 2 * $0 }
    let (weightGradient, balance) = (Arena(numbers.array(tokens * k)), Arena(numbers.array(experts)))
    let routed = Routed(logits, experts: experts, k: k, router: router, expertBias: numbers.array(experts))
    let chosen = routed.experts
    Backend(threads: 2).routeBackward(
      routed.matrix, router: router, topK: k, routing: routed.routing, weightGradient: weightGradient.buffer,
      balance: balance.buffer, zScale: 0, normaliser: routed.normaliser.buffer)
    let expected = finiteDifferences(at: logits.doubles) { logits in
      (0..<tokens).reduce(0) { loss, token in
        let scores = logits[token * experts..<(token + 1) * experts].map(sigmoid)
        let slots = token * k..<(token + 1) * k
        let total = renormalise ? slots.reduce(0) { $0 + scores[Int(chosen[$1])] } : 1
        return loss + dot(balance.doubles, scores) / scores.reduce(0, +)
          + slots.reduce(0) { $0 + Double(weightGradient.buffer[$1]) * factor * scores[Int(chosen[$1])] / total }
      }
    }
    #expect(relativeError(routed.scores.array, expected) < 1e-6)
  }

  @Test func probabilitiesAreScoresOverTheirSum() {
    let (tokens, experts) = (45, 70)
    var numbers = Numbers()
    let logits = numbers.array(tokens * experts).map { 3 * $0 }
    let routed = Routed(logits, experts: experts, k: 1, router: Router(scoring: .sigmoid, renormalise: true))
    let sums = Arena<Float>(count: experts)
    Backend(threads: 2).sumProbabilities(
      routed.matrix, router: routed.router, normaliser: routed.normaliser.buffer, into: sums.buffer)
    var expected = [Double](repeating: 0, count: experts)
    for token in 0..<tokens {
      let scores = logits[token * experts..<(token + 1) * experts].map { sigmoid(Double($0)) }
      for expert in 0..<experts { expected[expert] += scores[expert] / scores.reduce(0, +) }
    }
    #expect(relativeError(sums.array, expected) < 1e-6)
  }
}
