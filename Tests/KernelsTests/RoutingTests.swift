import Foundation
import Kernels
import Testing

struct RoutingTests {
  /// A routing with its memory.
  private struct Routed {
    let k: Int
    let probabilities: Arena<Float>
    let logSumExp: Arena<Float>
    let weights: Arena<Float>
    let integers: Arena<Int32>
    let routing: Routing
    let matrix: Matrix

    init(_ logits: [Float], experts: Int, k: Int, renormalise: Bool) {
      let tokens = logits.count / experts
      let slots = tokens * k
      self.k = k
      probabilities = Arena(logits)
      logSumExp = Arena(count: tokens)
      weights = Arena(count: slots)
      integers = Arena(count: 3 * slots + experts + 1)
      let part = { [integers] index in integers.buffer[index * slots..<(index + 1) * slots] }
      routing = Routing(
        experts: part(0), weights: weights.buffer, rowOfSlot: part(1), slotOfRow: part(2),
        offsets: integers.buffer[3 * slots..<3 * slots + experts + 1])
      matrix = probabilities.matrix(tokens, experts)
      Compute(threads: 2).route(
        matrix, topK: k, renormalise: renormalise, logSumExp: logSumExp.buffer, into: routing)
    }

    var experts: [Int32] { withExtendedLifetime(integers) { routing.experts.array() } }
  }

  private func softmax(_ x: ArraySlice<Double>) -> [Double] {
    let sum = x.reduce(0) { $0 + exp($1) }
    return x.map { exp($0) / sum }
  }

  @Test(arguments: [false, true])
  func choosesTheLargest(renormalise: Bool) {
    let (tokens, experts, k) = (70, 11, 3)
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
      #expect(abs(Double(routed.logSumExp.buffer[token]) - log(line.reduce(0) { $0 + exp($1) })) < 1e-6)
    }
    #expect(
      relativeError(
        routed.probabilities.array,
        (0..<tokens).flatMap {
          softmax(logits.doubles[$0 * experts..<($0 + 1) * experts])
        }) < 1e-6)
  }

  @Test func tiesGoToTheLowerIndex() {
    #expect(Routed([0, 0, 0, 0], experts: 4, k: 3, renormalise: true).experts == [0, 1, 2])
    #expect(Routed([1, 2, 1, 2], experts: 4, k: 3, renormalise: true).experts == [1, 3, 0])
  }

  /// Experts in order, rows of an expert in token order, and both permutations inverse of each other.
  @Test func rowsStandInTokenOrder() {
    var numbers = Numbers()
    let routed = Routed(numbers.array(100 * 5), experts: 5, k: 2, renormalise: false)
    let (slots, rows) = (routed.routing.slotOfRow.array(), routed.routing.rowOfSlot.array())
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
    Compute(threads: 2).routeBackward(
      routed.matrix, topK: k, renormalised: renormalise, routing: routed.routing, weightGradient: weightGradient.buffer,
      balance: balance.buffer, zScale: zScale, logSumExp: routed.logSumExp.buffer)
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
    #expect(relativeError(routed.probabilities.array, expected) < 1e-6)
  }

  @Test func gatherAndCombineAreTransposes() {
    let (tokens, k, columns) = (45, 3, 21)
    var numbers = Numbers()
    let routed = Routed(numbers.array(tokens * 6), experts: 6, k: k, renormalise: true)
    let x = Arena(numbers.array(tokens * columns))
    let (rows, before) = (Arena<Float>(count: tokens * k * columns), numbers.array(tokens * columns))
    let (sum, weighted) = (Arena(before), Arena(before))
    let compute = Compute(threads: 2)
    let all = rows.matrix(tokens * k, columns)
    compute.gather(x.matrix(tokens, columns), routing: routed.routing, topK: k, into: all)
    for (row, slot) in routed.routing.slotOfRow.array().enumerated() {
      let token = Int(slot) / k
      #expect(rows.array[row * columns..<(row + 1) * columns] == x.array[token * columns..<(token + 1) * columns])
    }
    for index in 0..<rows.count { rows.buffer[index] = numbers.next() }
    compute.combine(all, routing: routed.routing, topK: k, weighted: false, addingTo: sum.matrix(tokens, columns))
    compute.combine(all, routing: routed.routing, topK: k, weighted: true, addingTo: weighted.matrix(tokens, columns))
    func combined(_ weight: (Int) -> Double) -> [Double] {
      (0..<tokens * columns).map { index in
        (0..<k).reduce(Double(before[index])) { total, choice in
          let slot = index / columns * k + choice
          return total + weight(slot) * rows.doubles[Int(routed.routing.rowOfSlot[slot]) * columns + index % columns]
        }
      }
    }
    #expect(relativeError(sum.array, combined { _ in 1 }) < 1e-6)
    #expect(relativeError(weighted.array, combined { Double(routed.weights.buffer[$0]) }) < 1e-6)
  }

  @Test func weightBackward() {
    let (tokens, k, width) = (20, 2, 13)
    var numbers = Numbers()
    let routed = Routed(numbers.array(tokens * 5), experts: 5, k: k, renormalise: false)
    let gradient = Arena(numbers.array(tokens * k * width))
    let (activation, gateUp) = (Arena(numbers.array(gradient.count)), Arena(numbers.array(2 * gradient.count)))
    let (activationBefore, gateUpBefore) = (activation.doubles, gateUp.doubles)
    let weightGradient = Arena<Float>(count: tokens * k)
    Compute(threads: 2).weightBackward(
      gradient: gradient.matrix(tokens * k, width), activation: activation.matrix(tokens * k, width),
      gateUpGradient: gateUp.matrix(tokens * k, 2 * width), routing: routed.routing,
      weightGradient: weightGradient.buffer)
    let weightOfRow = routed.routing.slotOfRow.array().map { Double(routed.weights.buffer[Int($0)]) }
    let expected = (0..<tokens * k).map { slot in
      let row = Int(routed.routing.rowOfSlot[slot])
      return dot(gradient.doubles[row * width..<(row + 1) * width], activationBefore[row * width..<(row + 1) * width])
    }
    #expect(relativeError(weightGradient.array, expected) < 1e-6)
    #expect(relativeError(activation.array, activationBefore.enumerated().map { $1 * weightOfRow[$0 / width] }) < 1e-7)
    #expect(relativeError(gateUp.array, gateUpBefore.enumerated().map { $1 * weightOfRow[$0 / width / 2] }) < 1e-7)
  }
}
