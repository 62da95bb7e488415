import Kernels
import Testing

/// The order of sums in docs/arithmetic.md, operation by operation, bit for bit.
@Suite struct ArithmeticContractTests {
  private let backend = Backend(threads: 2)

  /// Element i goes to chain i mod 16; a fixed tree adds the chains up.
  @Test(arguments: [1, 15, 16, 17, 100, 1000]) func squaresAreSummedBySixteenChains(count: Int) {
    var numbers = Numbers(seed: UInt64(count))
    // Of many magnitudes, so that every order of adding rounds in another way.
    let gradient = (0..<count).map { numbers.next() * Float(sign: .plus, exponent: -($0 * 7 % 24), significand: 1) }
    let sums = Arena<Int64>(count: count)
    #expect(backend.accumulate(gradient, into: sums, limit: 4))
    let block = Arena<Double>(count: 1)
    backend.sumsOfSquares(sums.buffer, blockSize: 1024, into: block.buffer)
    var chains = [Double](repeating: 0, count: 16)
    for (index, value) in gradient.enumerated() {
      chains[index % 16] += Double(value) * Double(value)
    }
    // The square of a float is exact in fp64, so a fused sum rounds as this one does.
    let pairs = (0..<8).map { chains[$0] + chains[$0 + 8] }
    let tree = ((pairs[0] + pairs[4]) + (pairs[2] + pairs[6])) + ((pairs[1] + pairs[5]) + (pairs[3] + pairs[7]))
    #expect(block.buffer[0].bitPattern == tree.bitPattern)
  }

  /// A token's contributions are added in the order of its choices, whichever experts these are.
  @Test func contributionsAreAddedInTheOrderOfChoices() {
    let (tokens, experts, k, columns) = (40, 7, 4, 33)
    var numbers = Numbers(seed: 5)
    let routed = Routed(numbers.array(tokens * experts), experts: experts, k: k, renormalise: true)
    let rows = Arena(numbers.array(tokens * k * columns))
    let sum = Arena(numbers.array(tokens * columns))
    var expected = sum.array
    for token in 0..<tokens {
      for slot in token * k..<(token + 1) * k {
        let row = Int(routed.routing.permutation[slot])
        for column in 0..<columns {
          expected[token * columns + column].addProduct(
            routed.routing.weights[slot], rows.buffer[row * columns + column])
        }
      }
    }
    backend.combine(
      rows.matrix(tokens * k, columns), routing: routed.routing, topK: k, weighted: true,
      addingTo: sum.matrix(tokens, columns))
    #expect(sum.array.map(\.bitPattern) == expected.map(\.bitPattern))
    #expect(zip(0..<tokens * k, 1..<tokens * k).contains { routed.routing.experts[$0] > routed.routing.experts[$1] })
  }

  /// The end of a row is computed as its beginning is: as if zeros followed.
  @Test(arguments: [1, 7, 17, 31, 37]) func tailsAreWholeVectors(columns: Int) {
    let rows = 5
    let padded = (columns + 15) / 16 * 16
    var numbers = Numbers(seed: UInt64(columns))
    let (gradient, activation) = (numbers.array(rows * columns), numbers.array(rows * columns))
    func weightGradients(_ width: Int) -> [UInt32] {
      func matrix(_ values: [Float]) -> Arena<Float> {
        let arena = Arena<Float>(count: rows * width)
        for row in 0..<rows {
          for column in 0..<columns { arena.buffer[row * width + column] = values[row * columns + column] }
        }
        return arena
      }
      let (left, right) = (matrix(gradient), matrix(activation))
      let (gateUp, weights, result) = (
        Arena<Float>(count: 2 * rows * width), Arena<Float>(count: rows), Arena<Float>(count: rows)
      )
      backend.weightBackward(
        gradient: left.matrix(rows, width), activation: right.matrix(rows, width),
        gateUpGradient: gateUp.matrix(rows, 2 * width), weights: weights.matrix(rows, 1),
        weightGradients: result.matrix(rows, 1))
      return result.array.map(\.bitPattern)
    }
    #expect(weightGradients(columns) == weightGradients(padded))
  }

  /// A loss is rounded once, to the nearest multiple of 2⁻³².
  @Test(arguments: [0.1, 1e-9, 3.7, 11.25, 1000.001] as [Float]) func lossesAreRoundedOnce(_ loss: Float) {
    let exact = Double(loss) * 0x1p32
    #expect(LossFixedPoint.encode(loss, of: 1) == Int64(exact.rounded(.toNearestOrAwayFromZero)))
    #expect(LossFixedPoint.encode(-loss, of: 1) == -Int64(exact.rounded(.toNearestOrAwayFromZero)))
  }
}
