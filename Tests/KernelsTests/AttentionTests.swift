import Foundation
import Kernels
import Testing

struct AttentionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var shape: AttentionShape
    /// Documents begin here, in every sequence, besides at 0.
    var documents: [Int] = []
    var testDescription: String { name }

    /// Positions that `position` sees.
    func visible(_ position: Int) -> ClosedRange<Int> {
      let document = documents.last { $0 <= position } ?? 0
      return max(document, shape.window.map { position - $0 + 1 } ?? 0)...position
    }
  }

  static let small = [
    Case(name: "one token", shape: .init(sequences: 2, length: 1, heads: 2, keyValueHeads: 1, headDimension: 4)),
    Case(name: "grouped", shape: .init(sequences: 1, length: 5, heads: 4, keyValueHeads: 2, headDimension: 4)),
    Case(
      name: "window", shape: .init(sequences: 2, length: 6, heads: 1, keyValueHeads: 1, headDimension: 4, window: 3)),
    Case(
      name: "documents", shape: .init(sequences: 1, length: 9, heads: 2, keyValueHeads: 1, headDimension: 4, window: 4),
      documents: [1, 8]),
  ]
  /// Blocks of 64 queries and 512 keys, with rests; windows and documents that hide whole blocks.
  static let large = [
    Case(name: "two blocks", shape: .init(sequences: 3, length: 70, heads: 2, keyValueHeads: 1, headDimension: 8)),
    Case(name: "key blocks", shape: .init(sequences: 1, length: 600, heads: 1, keyValueHeads: 1, headDimension: 4)),
    Case(
      name: "long window",
      shape: .init(sequences: 1, length: 650, heads: 1, keyValueHeads: 1, headDimension: 2, window: 600)),
    Case(
      name: "documents",
      shape: .init(sequences: 2, length: 700, heads: 2, keyValueHeads: 1, headDimension: 2, window: 300),
      documents: [1, 64, 65, 200, 577]),
  ]

  /// Naive attention in fp64, forward and backward, one query at a time.
  private func reference(_ test: Case, _ qkv: [Double], outGradient: [Double]) -> (out: [Double], gradient: [Double]) {
    let shape = test.shape
    let d = shape.headDimension
    var out = [Double](repeating: 0, count: outGradient.count)
    var gradient = [Double](repeating: 0, count: qkv.count)
    for sequence in 0..<shape.sequences {
      for head in 0..<shape.heads {
        let keyColumn = (shape.heads + head / (shape.heads / shape.keyValueHeads)) * d
        func key(_ position: Int) -> Int { (sequence * shape.length + position) * shape.columns + keyColumn }
        for position in 0..<shape.length {
          let token = sequence * shape.length + position
          let (query, o) = (token * shape.columns + head * d, (token * shape.heads + head) * d)
          let visible = test.visible(position)
          let scores = visible.map { j in
            (0..<d).reduce(0) { $0 + qkv[query + $1] * qkv[key(j) + $1] } / Double(d).squareRoot()
          }
          let maximum = scores.max() ?? 0
          let sum = scores.reduce(0) { $0 + exp($1 - maximum) }
          let p = scores.map { exp($0 - maximum) / sum }
          let valueOffset = shape.keyValueHeads * d
          var dp = [Double](repeating: 0, count: p.count)
          for (index, j) in visible.enumerated() {
            for i in 0..<d {
              out[o + i] += p[index] * qkv[key(j) + valueOffset + i]
              dp[index] += outGradient[o + i] * qkv[key(j) + valueOffset + i]
              gradient[key(j) + valueOffset + i] += p[index] * outGradient[o + i]
            }
          }
          let mean = dot(p, dp)
          for (index, j) in visible.enumerated() {
            let ds = p[index] * (dp[index] - mean) / Double(d).squareRoot()
            for i in 0..<d {
              gradient[query + i] += ds * qkv[key(j) + i]
              gradient[key(j) + i] += ds * qkv[query + i]
            }
          }
        }
      }
    }
    return (out, gradient)
  }

  private func inputs(_ test: Case, scale: Float = 2) -> (qkv: Arena<Float>, outGradient: Arena<Float>) {
    var numbers = Numbers()
    let tokens = test.shape.sequences * test.shape.length
    let qkv = Arena(numbers.array(tokens * test.shape.columns).map { scale * $0 })
    return (qkv, Arena(numbers.array(tokens * test.shape.heads * test.shape.headDimension)))
  }

  private func run(_ test: Case, _ qkv: Arena<Float>, _ outGradient: Arena<Float>) -> (out: [Float], gradient: [Float])
  {
    let tokens = test.shape.sequences * test.shape.length
    let columns = test.shape.heads * test.shape.headDimension
    let starts = Arena((0..<tokens).map { i in Int32(test.documents.last { $0 <= i % test.shape.length } ?? 0) })
    var numbers = Numbers(seed: 9)
    // What was in the results' memory must not matter.
    let (out, gradient) = (Arena(numbers.array(outGradient.count)), Arena(numbers.array(qkv.count)))
    let logSumExp = Arena<Float>(count: tokens * test.shape.heads)
    let compute = Compute(threads: 2)
    let matrix = qkv.matrix(tokens, test.shape.columns)
    compute.attention(
      test.shape, qkv: matrix, documentStarts: starts.buffer, into: out.matrix(tokens, columns),
      logSumExp: logSumExp.buffer)
    compute.attentionBackward(
      test.shape, qkv: matrix, documentStarts: starts.buffer, out: out.matrix(tokens, columns),
      logSumExp: logSumExp.buffer, outGradient: outGradient.matrix(tokens, columns),
      qkvGradient: gradient.matrix(tokens, test.shape.columns))
    return (out.array, gradient.array)
  }

  @Test(arguments: small)
  func gradientMatchesFiniteDifferences(test: Case) {
    let (qkv, outGradient) = inputs(test)
    let expected = finiteDifferences(at: qkv.doubles) {
      dot(outGradient.doubles, reference(test, $0, outGradient: outGradient.doubles).out)
    }
    #expect(relativeError(run(test, qkv, outGradient).gradient, expected) < 2e-6)
  }

  @Test(arguments: small + large)
  func matchesDoublePrecision(test: Case) {
    let (qkv, outGradient) = inputs(test)
    let expected = reference(test, qkv.doubles, outGradient: outGradient.doubles)
    let actual = run(test, qkv, outGradient)
    #expect(relativeError(actual.out, expected.out) < 2e-6)
    #expect(relativeError(actual.gradient, expected.gradient) < 2e-6)
  }

  /// Scores in the hundreds: exp would overflow without the running maximum.
  @Test func survivesLargeScores() {
    let test = Self.large[1]
    let (qkv, outGradient) = inputs(test, scale: 20)
    let expected = reference(test, qkv.doubles, outGradient: outGradient.doubles)
    #expect(relativeError(run(test, qkv, outGradient).out, expected.out) < 1e-4)
  }

  /// A token's output has the same bits whatever stands in other documents of its sequence.
  @Test func documentsDoNotSeeEachOther() {
    let test = Self.large[3]
    let (qkv, outGradient) = inputs(test)
    let before = run(test, qkv, outGradient).out
    qkv.matrix(test.shape.length, test.shape.columns).rows(65..<200).base.update(repeating: 3, count: 10)
    let columns = test.shape.heads * test.shape.headDimension
    let after = run(test, qkv, outGradient).out
    #expect(before[200 * columns..<700 * columns] == after[200 * columns..<700 * columns])
    #expect(before != after)
  }
}
