import Foundation
import Kernels
import Testing

struct AttentionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var shape: AttentionShape
    /// Document starts in every sequence, besides 0.
    var documents: [Int] = []
    var testDescription: String { name }

    /// Positions that `position` sees.
    func visible(_ position: Int) -> ClosedRange<Int> {
      let document = documents.last { $0 <= position } ?? 0
      return max(document, shape.window.map { position - $0 + 1 } ?? 0)...position
    }
  }

  private static func shape(
    _ lengths: [Int], heads: Int = 1, keyValueHeads: Int = 1, headDimension: Int = 4, window: Int? = nil
  ) -> AttentionShape {
    AttentionShape(
      SequencePacking(lengths: lengths), heads: heads, keyValueHeads: keyValueHeads, headDimension: headDimension,
      window: window)
  }

  static let small = [
    Case(name: "one token", shape: shape([1, 1], heads: 2)),
    Case(name: "grouped", shape: shape([5], heads: 4, keyValueHeads: 2)),
    Case(name: "window", shape: shape([6, 6], window: 3)),
    Case(name: "documents", shape: shape([9], heads: 2, window: 4), documents: [1, 8]),
    Case(name: "unequal lengths", shape: shape([3, 0, 7, 1], heads: 2), documents: [2]),
  ]
  private static let (queries, keys) = (Backend.queryBlock, Backend.keyBlock)
  /// Blocks of queries and keys, with tails; windows and documents that hide whole blocks.
  static let large = [
    Case(name: "two blocks of queries", shape: shape([queries + 6, queries + 6], heads: 2, headDimension: 8)),
    Case(name: "two blocks of keys", shape: shape([keys + 200])),
    Case(name: "long window", shape: shape([keys + 260], headDimension: 2, window: keys + 210)),
    Case(
      name: "documents", shape: shape([700, 700], heads: 2, headDimension: 2, window: 300),
      documents: [1, queries, queries + 1, 200, 577]),
    Case(
      name: "packed sequences",
      shape: shape([queries, 1, keys + queries + 1, queries - 1, 30], heads: 2, window: keys),
      documents: [20, queries]),
  ]

  /// Naive attention in fp64, forward and backward, one query at a time.
  private func reference(_ test: Case, _ qkv: [Double], outGradient: [Double]) -> (out: [Double], gradient: [Double]) {
    let shape = test.shape
    let d = shape.headDimension
    var out = [Double](repeating: 0, count: outGradient.count)
    var gradient = [Double](repeating: 0, count: qkv.count)
    for sequence in 0..<shape.packing.sequences {
      let tokens = shape.packing.tokens(of: sequence)
      for head in 0..<shape.heads {
        let keyColumn = (shape.heads + head / (shape.heads / shape.keyValueHeads)) * d
        func key(_ position: Int) -> Int { (tokens.lowerBound + position) * shape.columns + keyColumn }
        for (position, token) in tokens.enumerated() {
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
    let tokens = test.shape.packing.tokenCount
    let qkv = Arena(numbers.array(tokens * test.shape.columns).map { scale * $0 })
    return (qkv, Arena(numbers.array(tokens * test.shape.heads * test.shape.headDimension)))
  }

  private func run(
    _ test: Case, _ qkv: Arena<Float>, _ outGradient: Arena<Float>, _ matrixBackend: MatrixBackend = .openblas
  ) -> (out: [Float], gradient: [Float]) {
    let tokens = test.shape.packing.tokenCount
    let columns = test.shape.heads * test.shape.headDimension
    let positions = (0..<test.shape.packing.sequences).flatMap { 0..<test.shape.packing.tokens(of: $0).count }
    let starts = Arena(positions.map { position in Int32(test.documents.last { $0 <= position } ?? 0) })
    var numbers = Numbers(seed: 9)
    // The former contents of the results' memory must not matter.
    let (out, gradient) = (Arena(numbers.array(outGradient.count)), Arena(numbers.array(qkv.count)))
    let logSumExp = Arena<Float>(count: tokens * test.shape.heads)
    let backend = Backend(threads: 2, matrixBackend: matrixBackend)
    let matrix = qkv.matrix(tokens, test.shape.columns)
    backend.attention(
      test.shape, qkv: matrix, documentStarts: starts.buffer, into: out.matrix(tokens, columns),
      logSumExp: logSumExp.buffer)
    backend.attentionBackward(
      test.shape, qkv: matrix, documentStarts: starts.buffer, out: out.matrix(tokens, columns),
      logSumExp: logSumExp.buffer, outGradient: outGradient.matrix(tokens, columns),
      qkvGradient: gradient.matrix(tokens, test.shape.columns))
    return (out.array, gradient.array)
  }

  @Test(arguments: small, MatrixBackend.allCases)
  func gradientMatchesFiniteDifferences(test: Case, backend: MatrixBackend) {
    let (qkv, outGradient) = inputs(test)
    let expected = finiteDifferences(at: qkv.doubles) {
      dot(outGradient.doubles, reference(test, $0, outGradient: outGradient.doubles).out)
    }
    #expect(relativeError(run(test, qkv, outGradient, backend).gradient, expected) < 2e-6)
  }

  @Test(arguments: small + large, MatrixBackend.allCases)
  func matchesDoublePrecision(test: Case, backend: MatrixBackend) {
    let (qkv, outGradient) = inputs(test)
    let expected = reference(test, qkv.doubles, outGradient: outGradient.doubles)
    let actual = run(test, qkv, outGradient, backend)
    #expect(relativeError(actual.out, expected.out) < 2e-6)
    #expect(relativeError(actual.gradient, expected.gradient) < 2e-6)
  }

  /// Scores in the hundreds: exp would overflow without the running maximum.
  @Test(arguments: MatrixBackend.allCases) func survivesLargeScores(backend: MatrixBackend) {
    let test = Self.large[1]
    let (qkv, outGradient) = inputs(test, scale: 20)
    let expected = reference(test, qkv.doubles, outGradient: outGradient.doubles)
    #expect(relativeError(run(test, qkv, outGradient, backend).out, expected.out) < 1e-4)
  }

  /// A token's output has the same bits for any contents of other documents in its sequence.
  @Test func documentsDoNotSeeEachOther() {
    let test = Self.large[3]
    let (qkv, outGradient) = inputs(test)
    let before = run(test, qkv, outGradient).out
    qkv.matrix(700, test.shape.columns).rows(Self.queries + 1..<200).base.update(repeating: 3, count: 10)
    let columns = test.shape.heads * test.shape.headDimension
    let after = run(test, qkv, outGradient).out
    #expect(before[200 * columns..<700 * columns] == after[200 * columns..<700 * columns])
    #expect(before != after)
  }

  /// A sequence has the same bits alone and among others, forward and backward.
  @Test func packedSequencesDoNotSeeEachOther() {
    let test = Self.large[4]
    let (qkv, outGradient) = inputs(test)
    let together = run(test, qkv, outGradient)
    for sequence in 0..<test.shape.packing.sequences {
      let tokens = test.shape.packing.tokens(of: sequence)
      func part(_ values: [Float], _ columns: Int) -> [Float] {
        Array(values[tokens.lowerBound * columns..<tokens.upperBound * columns])
      }
      let columns = test.shape.heads * test.shape.headDimension
      var shape = test.shape
      shape.packing = SequencePacking(lengths: [tokens.count])
      let alone = run(
        Case(name: "", shape: shape, documents: test.documents), Arena(part(qkv.array, shape.columns)),
        Arena(part(outGradient.array, columns)))
      #expect(alone.out == part(together.out, columns), "sequence \(sequence)")
      #expect(alone.gradient == part(together.gradient, shape.columns), "sequence \(sequence)")
    }
  }
}
