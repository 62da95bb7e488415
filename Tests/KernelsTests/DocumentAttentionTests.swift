import Testing

@testable import Kernels

/// A document's bits do not depend on where it stands, on what stands beside it, or on how many tokens come at a time.
@Suite struct DocumentAttentionTests {
  private let heads = 4
  private let keyValueHeads = 2
  private let dimension = 24
  private var columns: Int { heads * dimension }

  private func shape(_ lengths: [Int], window: Int?) -> AttentionShape {
    AttentionShape(
      SequencePacking(lengths: lengths), heads: heads, keyValueHeads: keyValueHeads, headDimension: dimension,
      window: window)
  }

  private struct Result: Equatable {
    var out: [UInt32]
    var gradient: [UInt32]
  }

  /// Attention of documents packed in one sequence, each with its result.
  private func attention(
    _ documents: [(qkv: [Float], outGradient: [Float])], window: Int?, threads: Int
  ) -> [Result] {
    let lengths = documents.map { $0.outGradient.count / columns }
    let tokens = lengths.reduce(0, +)
    let shape = shape([tokens], window: window)
    let (qkv, outGradient) = (Arena(documents.flatMap(\.qkv)), Arena(documents.flatMap(\.outGradient)))
    var starts: [Int32] = []
    for length in lengths { starts += Array(repeating: Int32(starts.count), count: length) }
    let (out, gradient) = (Arena<Float>(count: tokens * columns), Arena<Float>(count: tokens * shape.columns))
    let (logSumExp, documentStarts) = (Arena<Float>(count: tokens * heads), Arena(starts))
    let backend = Backend(threads: threads, matrixBackend: .native)
    backend.attention(
      shape, qkv: qkv.matrix(tokens, shape.columns), documentStarts: documentStarts.buffer,
      into: out.matrix(tokens, columns), logSumExp: logSumExp.buffer)
    backend.attentionBackward(
      shape, qkv: qkv.matrix(tokens, shape.columns), documentStarts: documentStarts.buffer,
      out: out.matrix(tokens, columns), logSumExp: logSumExp.buffer, outGradient: outGradient.matrix(tokens, columns),
      qkvGradient: gradient.matrix(tokens, shape.columns))
    var first = 0
    return lengths.map { length in
      defer { first += length }
      return Result(
        out: out.array[first * columns..<(first + length) * columns].map(\.bitPattern),
        gradient: gradient.array[first * shape.columns..<(first + length) * shape.columns].map(\.bitPattern))
    }
  }

  private func document(_ length: Int, seed: UInt64) -> (qkv: [Float], outGradient: [Float]) {
    var numbers = Numbers(seed: seed)
    return (
      numbers.array(length * (heads + 2 * keyValueHeads) * dimension), numbers.array(length * columns)
    )
  }

  @Test(arguments: [nil, 1, 60, 300], [1, 127, 128, 129, 255, 257, 600])
  func placesDoNotMatter(window: Int?, length: Int) {
    let document = document(length, seed: 1)
    let alone = attention([document], window: window, threads: 1)[0]
    let others = [3, 256, 1, 77].enumerated().map { self.document($1, seed: UInt64(10 + $0)) }
    let packed = attention(
      [others[0], document, others[1], others[2], document, others[3], document], window: window, threads: 2)
    #expect(packed[1] == alone && packed[4] == alone && packed[6] == alone)
  }

  /// Tokens that come one by one, or in chunks, have the bits of those that come together.
  @Test(arguments: [nil, 1, 60, 300], [1, 7, 64, 256]) func chunksDoNotMatter(window: Int?, chunk: Int) {
    let length = chunk == 1 ? 270 : 600
    let (values, outGradient) = document(length, seed: 5)
    let together = attention([(values, outGradient)], window: window, threads: 2)[0].out
    let width = shape([length], window: window).columns
    let capacity = (length + Backend.cacheRowMultiple - 1) / Backend.cacheRowMultiple * Backend.cacheRowMultiple
    let (queries, keyColumns) = (heads * dimension, keyValueHeads * dimension)
    let cache = Arena<Float>(count: 2 * capacity * keyColumns)
    let (keys, cached) = (
      cache.buffer[0..<capacity * keyColumns].matrix(capacity, keyColumns),
      cache.buffer[capacity * keyColumns..<2 * capacity * keyColumns].matrix(capacity, keyColumns)
    )
    let (qkv, out) = (Arena(values), Arena<Float>(count: length * columns))
    let matrix = qkv.matrix(length, width)
    let backend = Backend(threads: 2, matrixBackend: .native)
    for first in stride(from: 0, to: length, by: chunk) {
      let rows = first..<min(length, first + chunk)
      backend.copy(matrix.rows(rows).columns(queries..<queries + keyColumns), to: keys.rows(rows))
      backend.copy(matrix.rows(rows).columns(queries + keyColumns..<width), to: cached.rows(rows))
      backend.cachedAttention(
        shape([rows.count], window: window), first: first, queries: matrix.rows(rows).columns(0..<queries), keys: keys,
        values: cached, into: out.matrix(length, columns).rows(rows))
    }
    #expect(out.array.map(\.bitPattern) == together)
  }
}
