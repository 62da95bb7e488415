import Foundation
import Kernels
import Testing

struct RoutingTests {
  private func softmax(_ x: ArraySlice<Double>) -> [Double] {
    let sum = x.reduce(0) { $0 + exp($1) }
    return x.map { exp($0) / sum }
  }

  @Test(arguments: [false, true], [(11, 3), (160, 8)])
  func choosesTheLargest(renormalise: Bool, shape: (Int, Int)) {
    let (tokens, experts, k) = (70, shape.0, shape.1)
    var numbers = Numbers()
    let logits = numbers.array(tokens * experts).map { 3 * $0 }
    let routed = Routed(logits, experts: experts, k: k, renormalise: renormalise)
    for token in 0..<tokens {
      let line = logits.doubles[token * experts..<(token + 1) * experts]
      let p = softmax(line)
      let order = (0..<experts).sorted { p[$0] > p[$1] }.prefix(k)
      #expect(routed.experts[token * k..<(token + 1) * k].elementsEqual(order.map(Int32.init)))
      let total = renormalise ? order.reduce(0) { $0 + p[$1] } : 1
      let weights = Array(routed.weights.array[token * k..<(token + 1) * k])
      #expect(relativeError(weights, order.map { p[$0] / total }) < 1e-6)
      #expect(abs(Double(routed.normaliser.buffer[token]) - log(line.reduce(0) { $0 + exp($1) })) < 1e-6)
    }
    #expect(
      relativeError(
        routed.scores.array,
        (0..<tokens).flatMap {
          softmax(logits.doubles[$0 * experts..<($0 + 1) * experts])
        }) < 1e-6)
  }

  @Test func tiesGoToTheLowerIndex() {
    #expect(Routed([0, 0, 0, 0], experts: 4, k: 3, renormalise: true).experts == [0, 1, 2])
    #expect(Routed([1, 2, 1, 2], experts: 4, k: 3, renormalise: true).experts == [1, 3, 0])
  }

  /// Permutation: experts in order, rows of an expert in token order, and the inverse permutation is its inverse.
  @Test func rowsStandInTokenOrder() {
    var numbers = Numbers()
    let routed = Routed(numbers.array(100 * 5), experts: 5, k: 2, renormalise: false)
    let (slots, rows) = (routed.routing.inversePermutation.array(), routed.routing.permutation.array())
    #expect(slots.enumerated().allSatisfy { rows[Int($1)] == Int32($0) })
    var covered = 0
    for expert in 0..<5 {
      let range = routed.routing.rows(ofExpert: expert)
      #expect(range.lowerBound == covered)
      covered = range.upperBound
      #expect(slots[range].elementsEqual(slots[range].sorted()))
      #expect(slots[range].allSatisfy { routed.routing.experts[Int($0)] == Int32(expert) })
    }
    #expect(covered == 200)
  }

  @Test func oneExpertMayTakeAll() {
    let routed = Routed((0..<40 * 4).map { $0 % 4 == 2 ? 5 : 0 }, experts: 4, k: 1, renormalise: true)
    #expect((0..<4).map { routed.routing.rows(ofExpert: $0).count } == [0, 0, 40, 0])
    #expect(routed.weights.array.allSatisfy { $0 == 1 })
  }

  /// A loss of the chosen weights, the probabilities (as the balancing loss has them) and the log-sum-exp (as the z loss).
  @Test(arguments: [false, true], [1, 2, 4])
  func backwardMatchesFiniteDifferences(renormalise: Bool, k: Int) {
    let (tokens, experts, zScale) = (6, 4, Float(0.3))
    var numbers = Numbers()
    let logits = numbers.array(tokens * experts)
    let (weightGradient, balance) = (Arena(numbers.array(tokens * k)), Arena(numbers.array(experts)))
    let routed = Routed(logits, experts: experts, k: k, renormalise: renormalise)
    let chosen = routed.experts
    Backend(threads: 2).routeBackward(
      routed.matrix, router: routed.router, topK: k, routing: routed.routing, weightGradient: weightGradient.buffer,
      balance: balance.buffer, zScale: zScale, normaliser: routed.normaliser.buffer)
    let expected = finiteDifferences(at: logits.doubles) { logits in
      (0..<tokens).reduce(0) { loss, token in
        let line = logits[token * experts..<(token + 1) * experts]
        let p = softmax(line)
        let slots = token * k..<(token + 1) * k
        let total = renormalise ? slots.reduce(0) { $0 + p[Int(chosen[$1])] } : 1
        let z = log(line.reduce(0) { $0 + exp($1) })
        return loss + dot(balance.doubles, p) + Double(zScale) * z * z
          + slots.reduce(0) { $0 + Double(weightGradient.buffer[$1]) * p[Int(chosen[$1])] / total }
      }
    }
    #expect(relativeError(routed.scores.array, expected) < 1e-6)
  }

  @Test func gatherAndCombineAreTransposes() {
    let (tokens, k, columns) = (45, 3, 21)
    var numbers = Numbers()
    let routed = Routed(numbers.array(tokens * 6), experts: 6, k: k, renormalise: true)
    let x = Arena(numbers.array(tokens * columns))
    let (rows, before) = (Arena<Float>(count: tokens * k * columns), numbers.array(tokens * columns))
    let (sum, weighted) = (Arena(before), Arena(before))
    let backend = Backend(threads: 2)
    let all = rows.matrix(tokens * k, columns)
    backend.gather(x.matrix(tokens, columns), routing: routed.routing, topK: k, into: all)
    for (row, slot) in routed.routing.inversePermutation.array().enumerated() {
      let token = Int(slot) / k
      #expect(rows.array[row * columns..<(row + 1) * columns] == x.array[token * columns..<(token + 1) * columns])
    }
    let some = 7..<40
    let part = Arena<Float>(count: some.count * columns)
    backend.gather(
      x.matrix(tokens, columns), routing: routed.routing, topK: k, some, into: part.matrix(some.count, columns))
    #expect(part.array == Array(rows.array[some.lowerBound * columns..<some.upperBound * columns]))
    for index in 0..<rows.count { rows.buffer[index] = numbers.next() }
    backend.combine(all, routing: routed.routing, topK: k, weighted: false, addingTo: sum.matrix(tokens, columns))
    backend.combine(all, routing: routed.routing, topK: k, weighted: true, addingTo: weighted.matrix(tokens, columns))
    func combined(_ weight: (Int) -> Double) -> [Double] {
      (0..<tokens * columns).map { index in
        (0..<k).reduce(Double(before[index])) { total, choice in
          let slot = index / columns * k + choice
          return total + weight(slot) * rows.doubles[Int(routed.routing.permutation[slot]) * columns + index % columns]
        }
      }
    }
    #expect(relativeError(sum.array, combined { _ in 1 }) < 1e-6)
    #expect(relativeError(weighted.array, combined { Double(routed.weights.buffer[$0]) }) < 1e-6)
  }

  @Test func weightBackward() {
    let (rows, width) = (40, 13)
    var numbers = Numbers()
    let gradient = Arena(numbers.array(rows * width))
    let (activation, gateUp) = (Arena(numbers.array(gradient.count)), Arena(numbers.array(2 * gradient.count)))
    let (activationBefore, gateUpBefore) = (activation.doubles, gateUp.doubles)
    // Weights are the last column of received rows, and their gradients of returned ones.
    let arrived = Arena(numbers.array(rows * 4))
    let results = Arena<Float>(count: rows * 4)
    Backend(threads: 2).weightBackward(
      gradient: gradient.matrix(rows, width), activation: activation.matrix(rows, width),
      gateUpGradient: gateUp.matrix(rows, 2 * width), weights: arrived.matrix(rows, 4).columns(3..<4),
      weightGradients: results.matrix(rows, 4).columns(3..<4))
    for row in 0..<rows {
      let part = row * width..<(row + 1) * width
      let expected = dot(gradient.doubles[part], activationBefore[part])
      #expect(abs(results.doubles[4 * row + 3] - expected) < 1e-5)
      #expect(results.doubles[4 * row..<4 * row + 3].allSatisfy { $0 == 0 })
    }
    let weights = (0..<rows).map { arrived.doubles[4 * $0 + 3] }
    #expect(relativeError(activation.array, activationBefore.enumerated().map { $1 * weights[$0 / width] }) < 1e-7)
    #expect(relativeError(gateUp.array, gateUpBefore.enumerated().map { $1 * weights[$0 / width / 2] }) < 1e-7)
  }

  @Test func weightsTravelWithTheirRows() {
    let (tokens, k, width) = (9, 2, 5)
    var numbers = Numbers()
    let routed = Routed(numbers.array(tokens * 4), experts: 4, k: k, renormalise: true)
    let x = Arena(numbers.array(tokens * width))
    let rows = Arena<Float>(count: tokens * k * (width + 1))
    let weights = Arena<Float>(count: tokens * k)
    let backend = Backend(threads: 2)
    let matrix = rows.matrix(tokens * k, width + 1)
    backend.gatherWithWeights(x.matrix(tokens, width), routing: routed.routing, topK: k, into: matrix)
    for row in 0..<tokens * k {
      let token = Int(routed.routing.inversePermutation[row]) / k
      #expect(
        Array(rows.array[row * (width + 1)..<row * (width + 1) + width])
          == Array(x.array[token * width..<(token + 1) * width]))
    }
    backend.scatter(matrix.columns(width..<width + 1), routing: routed.routing, into: weights.buffer)
    #expect(weights.array == routed.weights.array)
  }
}
