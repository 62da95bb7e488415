/// Attention of new tokens to a key-value cache, in the same blocks as `attention`.
extension Backend {
  /// The rows of a cache are a multiple of this.
  public static let cacheRowMultiple = queryBlock

  /// Computes attention of new tokens to the keys and values of a cache.
  ///
  /// - Parameters:
  ///   - shape: of the new tokens: one sequence.
  ///   - first: the position of the first new token.
  ///   - queries: `[tokens, heads · headDimension]`, after the rotary embedding.
  ///   - keys, values: `[capacity, keyValueHeads · headDimension]`, including the new tokens' rows. Later rows are
  ///     multiplied by zero, so they must be finite.
  ///   - out: `[tokens, heads · headDimension]`.
  public func cachedAttention(
    _ shape: AttentionShape, first: Int, queries: Matrix, keys: Matrix, values: Matrix, into out: Matrix
  ) {
    let end = first + queries.rows
    precondition(shape.packing.sequences == 1 && queries.rows == shape.packing.tokenCount && out.rows == queries.rows)
    precondition(keys.rows >= end && keys.rows % Self.queryBlock == 0 && keys.stride == values.stride)
    if matrixBackend == .native {
      return documentAttention(shape, first: first, queries: queries, keys: keys, values: values, into: out)
    }
    let blocks = first / Self.queryBlock..<(end + Self.queryBlock - 1) / Self.queryBlock
    let d = shape.headDimension
    team.forEach(shape.heads * blocks.count) { task, thread in
      let head = task % shape.heads
      let blockStart = (blocks.lowerBound + task / shape.heads) * Self.queryBlock
      let blockEnd = blockStart + Self.queryBlock
      let positions = max(first, blockStart)..<min(end, blockEnd)
      func firstVisible(_ position: Int) -> Int { shape.window.map { max(0, position - $0 + 1) } ?? 0 }
      let row = positions.lowerBound - first
      let keyColumn = head / (shape.heads / shape.keyValueHeads) * d
      let operands = AttentionOperands(
        query: queries.base + row * queries.stride + head * d, queryStride: queries.stride,
        key: keys.base + keyColumn, value: values.base + keyColumn, keyValueStride: keys.stride,
        out: out.base + row * out.stride + head * d, outStride: out.stride)
      // Whole blocks of keys, as in `attention`, so that the products' shapes do not depend on where the tokens end.
      self.attend(
        shape, operands, positions: positions,
        keys: firstVisible(blockStart) / Self.queryBlock * Self.queryBlock..<blockEnd, firstVisible: firstVisible,
        logSumExp: nil, scratch: self.scratch(thread), rowScratch: self.rowScratch(thread))
    }
  }
}
