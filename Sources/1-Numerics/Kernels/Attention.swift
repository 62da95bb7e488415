#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The shape of an attention layer's operands.
public struct AttentionShape: Sendable {
  public var packing: SequencePacking
  public var heads: Int
  public var keyValueHeads: Int
  public var headDimension: Int
  /// Sliding window: the tokens a position attends to, itself included; nil for all before it.
  public var window: Int?

  public init(_ packing: SequencePacking, heads: Int, keyValueHeads: Int, headDimension: Int, window: Int? = nil) {
    self.packing = packing
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.window = window
  }

  var scale: Float { 1 / Float(headDimension).squareRoot() }
  var queryColumns: Int { heads * headDimension }

  /// Columns of the fused query-key-value matrix.
  public var columns: Int { (heads + 2 * keyValueHeads) * headDimension }
}

/// Pointers to one head's rows: queries and outputs at the first query's position, keys and values at position 0.
struct AttentionOperands {
  let query: UnsafeMutablePointer<Float>
  let queryStride: Int
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  let keyValueStride: Int
  let out: UnsafeMutablePointer<Float>
  let outStride: Int
}

/// FlashAttention (Dao et al. 2022) with causal grouped queries: a block of queries × blocks of keys, with online
/// softmax and no tokens × tokens matrix. Blocks outside the causal, window and document masks are skipped.
extension Backend {
  package static let queryBlock = 96
  /// At most what OpenBLAS sums at a time, so that masked keys at a block's end do not change a sum.
  package static let keyBlock = 384

  /// A block of queries `[first, end)` of one sequence and the keys `[firstKey, end)` that any of them attends to.
  private struct QueryBlock {
    let first: Int
    let end: Int
    let firstKey: Int
  }

  /// The first key that query `position` attends to; non-decreasing in the position.
  @inline(__always)
  private static func firstKey(_ position: Int, _ documentStarts: UnsafeMutablePointer<Int32>, _ window: Int?) -> Int {
    let start = Int(documentStarts[position])
    guard let window else { return start }
    return max(start, position - window + 1)
  }

  private static func block(
    _ index: Int, length: Int, _ shape: AttentionShape, _ starts: UnsafeMutablePointer<Int32>
  ) -> QueryBlock {
    let first = index * queryBlock
    // Rounded down, so that the products' shapes take few values.
    let firstKey = firstKey(first, starts, shape.window) / queryBlock * queryBlock
    return QueryBlock(first: first, end: min(length, first + queryBlock), firstKey: firstKey)
  }

  /// Computes attention of packed sequences.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, (heads + 2 · keyValueHeads) · headDimension]`: queries, keys, values, after the rotary
  ///     embedding.
  ///   - documentStarts: `[tokens]`, the first position of each token's document within its sequence.
  ///   - out: `[tokens, heads · headDimension]`.
  ///   - logSumExp: `[tokens, heads]`, kept for the backward pass.
  public func attention(
    _ shape: AttentionShape, qkv: Matrix, documentStarts: Buffer<Int32>, into out: Matrix, logSumExp: Buffer<Float>
  ) {
    precondition(qkv.columns == shape.columns && qkv.rows == shape.packing.tokenCount)
    precondition(documentStarts.count == qkv.rows && logSumExp.count >= qkv.rows * shape.heads)
    if matrixBackend == .native {
      return documentAttention(shape, qkv: qkv, documentStarts: documentStarts, into: out, logSumExp: logSumExp)
    }
    let blocks = shape.packing.queryBlocks
    team.forEach(blocks.count * shape.heads) { task, thread in
      self.attentionBlock(
        shape, blocks[task / shape.heads], head: task % shape.heads, qkv, documentStarts, out, logSumExp,
        scratch: self.scratch(thread), rowScratch: self.rowScratch(thread))
    }
  }

  private func attentionBlock(
    _ shape: AttentionShape, _ place: SequenceQueryBlock, head: Int, _ qkv: Matrix,
    _ documentStarts: Buffer<Int32>, _ out: Matrix, _ logSumExp: Buffer<Float>, scratch: Buffer<Float>,
    rowScratch: Buffer<Float>
  ) {
    let d = shape.headDimension
    let tokens = shape.packing.tokens(of: place.sequence)
    let token = tokens.lowerBound
    let starts = documentStarts.base + token
    let block = Self.block(place.index, length: tokens.count, shape, starts)
    let keyColumn = shape.queryColumns + head / (shape.heads / shape.keyValueHeads) * d
    let key = qkv.base + token * qkv.stride + keyColumn
    let operands = AttentionOperands(
      query: qkv.base + (token + block.first) * qkv.stride + head * d, queryStride: qkv.stride, key: key,
      value: key + shape.keyValueHeads * d, keyValueStride: qkv.stride,
      out: out.base + (token + block.first) * out.stride + head * d, outStride: out.stride)
    attend(
      shape, operands, positions: block.first..<block.end, keys: block.firstKey..<block.end,
      firstVisible: { Self.firstKey($0, starts, shape.window) },
      logSumExp: logSumExp.base + (token + block.first) * shape.heads + head, scratch: scratch, rowScratch: rowScratch)
  }

  /// Computes attention of one head's queries at `positions` (at most a block) to `keys`, block by block.
  ///
  /// - Parameters:
  ///   - firstVisible: the first key that a position attends to; the last is its own.
  ///   - logSumExp: a number per position, `shape.heads` apart; nil to leave it out.
  func attend(
    _ shape: AttentionShape, _ operands: AttentionOperands, positions: Range<Int>, keys allKeys: Range<Int>,
    firstVisible: (Int) -> Int, logSumExp: UnsafeMutablePointer<Float>?, scratch: Buffer<Float>,
    rowScratch: Buffer<Float>
  ) {
    let d = shape.headDimension
    let rows = positions.count
    let (output, outStride) = (operands.out, operands.outStride)
    let scores = scratch.base
    let maximum = scratch.base + 2 * Self.queryBlock * Self.keyBlock
    let sum = maximum + Self.queryBlock
    for row in 0..<rows {
      maximum[row] = -.infinity
      sum[row] = 0
    }
    var first = allKeys.lowerBound
    while first < allKeys.upperBound {
      let keys = min(Self.keyBlock, allKeys.upperBound - first)
      MatrixProduct.multiplyRows(
        rows: rows, columns: keys, inner: d, a: operands.query, aStride: operands.queryStride,
        b: operands.key + first * operands.keyValueStride, bStride: operands.keyValueStride, transposeB: true,
        c: scores, cStride: keys, accumulate: false, maxRows: Self.queryBlock, scratch: rowScratch)
      let isFirst = first == allKeys.lowerBound
      for row in 0..<rows {
        let position = positions.lowerBound + row
        let low = min(max(firstVisible(position) - first, 0), keys)
        let high = min(max(position + 1 - first, low), keys)
        let factor = table.softmax_online(
          Int64(keys), Int64(low), Int64(high), shape.scale, scores + row * keys, maximum + row, sum + row)
        if !isFirst, factor != 1 {
          table.scale(Int64(d), factor, output + row * outStride, output + row * outStride)
        }
      }
      MatrixProduct.multiplyRows(
        rows: rows, columns: d, inner: keys, a: scores, aStride: keys,
        b: operands.value + first * operands.keyValueStride, bStride: operands.keyValueStride, transposeB: false,
        c: output, cStride: outStride, accumulate: !isFirst, maxRows: Self.queryBlock, scratch: rowScratch)
      first += keys
    }
    for row in 0..<rows {
      table.scale(Int64(d), 1 / sum[row], output + row * outStride, output + row * outStride)
      logSumExp?[row * shape.heads] = maximum[row] + logf(sum[row])
    }
  }

  /// The backward pass of `attention`: the gradient of `qkv`, with scores recomputed from `logSumExp` block by block.
  ///
  /// A task has one key-value head of one sequence, so the gradients of its keys and values are summed in one fixed
  /// order.
  /// With D = rowsum(dO ∘ O): dV = Pᵀ dO, dP = dO Vᵀ, dS = scale · P ∘ (dP − D), dQ = dS K, dK = dSᵀ Q.
  ///
  /// - Parameters: `out`, `outGradient` `[tokens, heads · headDimension]`; `qkvGradient` as `qkv`, replaced.
  public func attentionBackward(
    _ shape: AttentionShape, qkv: Matrix, documentStarts: Buffer<Int32>, out: Matrix, logSumExp: Buffer<Float>,
    outGradient: Matrix, qkvGradient: Matrix
  ) {
    precondition(qkvGradient.columns == qkv.columns && qkvGradient.rows == qkv.rows)
    if matrixBackend == .native {
      return documentAttentionBackward(
        shape, qkv: qkv, documentStarts: documentStarts, out: out, logSumExp: logSumExp, outGradient: outGradient,
        qkvGradient: qkvGradient)
    }
    let group = shape.heads / shape.keyValueHeads
    team.forEach(shape.packing.sequences * shape.keyValueHeads) { task, thread in
      let sequence = task / shape.keyValueHeads
      let keyValueHead = task % shape.keyValueHeads
      let firstColumn = shape.queryColumns + keyValueHead * shape.headDimension
      for row in shape.packing.tokens(of: sequence) {
        let gradient = qkvGradient.base + row * qkvGradient.stride + firstColumn
        gradient.update(repeating: 0, count: shape.headDimension)
        (gradient + shape.keyValueHeads * shape.headDimension).update(repeating: 0, count: shape.headDimension)
      }
      for head in keyValueHead * group..<(keyValueHead + 1) * group {
        for block in 0..<shape.packing.blockCount(of: sequence) {
          self.attentionBlockBackward(
            shape, SequenceQueryBlock(sequence: sequence, index: block), head: head, qkv, documentStarts, out,
            logSumExp, outGradient, qkvGradient, scratch: self.scratch(thread))
        }
      }
    }
  }

  private func attentionBlockBackward(
    _ shape: AttentionShape, _ place: SequenceQueryBlock, head: Int, _ qkv: Matrix,
    _ documentStarts: Buffer<Int32>, _ out: Matrix, _ logSumExp: Buffer<Float>, _ outGradient: Matrix,
    _ qkvGradient: Matrix, scratch: Buffer<Float>
  ) {
    let d = shape.headDimension
    let tokens = shape.packing.tokens(of: place.sequence)
    let token = tokens.lowerBound
    let starts = documentStarts.base + token
    let block = Self.block(place.index, length: tokens.count, shape, starts)
    let rows = block.end - block.first
    let queryOffset = (token + block.first) * qkv.stride + head * d
    let keyOffset = token * qkv.stride + shape.queryColumns + head / (shape.heads / shape.keyValueHeads) * d
    let valueOffset = keyOffset + shape.keyValueHeads * d
    let outputGradient = outGradient.base + (token + block.first) * outGradient.stride + head * d
    let output = out.base + (token + block.first) * out.stride + head * d
    let stride = qkv.stride
    let probabilities = scratch.base
    let scoreGradient = probabilities + Self.queryBlock * Self.keyBlock
    let delta = scoreGradient + Self.queryBlock * Self.keyBlock
    for row in 0..<rows {
      delta[row] = table.dot(Int64(d), outputGradient + row * outGradient.stride, output + row * out.stride)
    }
    var first = block.firstKey
    while first < block.end {
      let keys = min(Self.keyBlock, block.end - first)
      let keyBlock = first * stride
      MatrixProduct.multiply(
        rows: rows, columns: keys, inner: d, a: qkv.base + queryOffset, aStride: stride, transposeA: false,
        b: qkv.base + keyOffset + keyBlock, bStride: stride, transposeB: true, c: probabilities, cStride: keys,
        accumulate: false)
      MatrixProduct.multiply(
        rows: rows, columns: keys, inner: d, a: outputGradient, aStride: outGradient.stride, transposeA: false,
        b: qkv.base + valueOffset + keyBlock, bStride: stride, transposeB: true, c: scoreGradient, cStride: keys,
        accumulate: false)
      for row in 0..<rows {
        let position = block.first + row
        let low = min(max(Self.firstKey(position, starts, shape.window) - first, 0), keys)
        let high = min(max(position + 1 - first, low), keys)
        table.softmax_backward(
          Int64(keys), Int64(low), Int64(high), shape.scale,
          logSumExp.base[(token + position) * shape.heads + head], delta[row], probabilities + row * keys,
          scoreGradient + row * keys)
      }
      MatrixProduct.multiply(
        rows: keys, columns: d, inner: rows, a: probabilities, aStride: keys, transposeA: true, b: outputGradient,
        bStride: outGradient.stride, transposeB: false, c: qkvGradient.base + valueOffset + keyBlock, cStride: stride,
        accumulate: true)
      MatrixProduct.multiply(
        rows: rows, columns: d, inner: keys, a: scoreGradient, aStride: keys, transposeA: false,
        b: qkv.base + keyOffset + keyBlock, bStride: stride, transposeB: false, c: qkvGradient.base + queryOffset,
        cStride: stride, accumulate: first != block.firstKey)
      MatrixProduct.multiply(
        rows: keys, columns: d, inner: rows, a: scoreGradient, aStride: keys, transposeA: true,
        b: qkv.base + queryOffset, bStride: stride, transposeB: false, c: qkvGradient.base + keyOffset + keyBlock,
        cStride: stride, accumulate: true)
      first += keys
    }
  }
}
