import Foundation
import Kernels
import Testing

struct RotaryTests {
  let heads = 3
  let dimension = 10
  let positions = 40
  let cosine: Arena<Float>
  let sine: Arena<Float>

  init() {
    let angles = (0..<40 * 5).map { (index: Int) -> Double in
      0.37 * Double(index / 5) / Double(index % 5 + 1)
    }
    cosine = Arena(angles.map { Float(cos($0)) })
    sine = Arena(angles.map { Float(sin($0)) })
  }

  private func rotate(_ x: Arena<Float>, _ ids: [Int32], inverse: Bool) {
    let ids = Arena(ids)
    Backend(threads: 2).rotate(
      x.matrix(ids.count, x.count / ids.count), headDimension: dimension, positions: ids.buffer,
      cosine: cosine.matrix(positions, dimension / 2), sine: sine.matrix(positions, dimension / 2), inverse: inverse)
  }

  /// Element i and element i + dimension/2 are a complex number that is turned by the angle of (position, i).
  @Test func turnsPairs() {
    var numbers = Numbers()
    let ids = (0..<33).map { _ in Int32(numbers.index(below: positions)) }
    let x = Arena(numbers.array(ids.count * heads * dimension))
    let before = x.doubles
    rotate(x, ids, inverse: false)
    var expected = before
    for (row, id) in ids.enumerated() {
      for pair in 0..<heads * dimension / 2 {
        let (head, i) = (pair / (dimension / 2), pair % (dimension / 2))
        let first = row * heads * dimension + head * dimension + i
        let second = first + dimension / 2
        let angle = Int(id) * dimension / 2 + i
        let (c, s) = (Double(cosine.buffer[angle]), Double(sine.buffer[angle]))
        expected[first] = before[first] * c - before[second] * s
        expected[second] = before[first] * s + before[second] * c
      }
    }
    #expect(relativeError(x.array, expected) < 2e-7)
  }

  /// The backward pass of a linear map is its transpose: here to the last bit, column by column of the unit matrix.
  @Test func inverseIsTheTranspose() {
    func columns(inverse: Bool) -> [Float] {
      let unit = Arena((0..<dimension * dimension).map { $0 % (dimension + 1) == 0 ? Float(1) : 0 })
      rotate(unit, Array(repeating: 17, count: dimension), inverse: inverse)
      return unit.array
    }
    let (forward, backward) = (columns(inverse: false), columns(inverse: true))
    for i in 0..<dimension {
      for j in 0..<dimension { #expect(forward[i * dimension + j] == backward[j * dimension + i]) }
    }
    #expect(forward != backward)
  }
}
