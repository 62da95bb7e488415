import CKernels

/// Attention by our own kernels, document by document: FlashAttention (Dao et al. 2022) with causal grouped queries.
///
/// Blocks of keys are counted from the start of the token's own document, so a document's bits do not depend on where it
/// stands among others. A query meets the blocks that it sees any key of, in order; of each block the scores' maximum,
/// exponentials and sum, and the product of probabilities and values, are those of this block alone.
struct DocumentAttention {
  static let keyBlock = 256
  /// Queries of a block of the backward pass, whose sums over queries go block by block.
  static let queryBlock = 128
  /// Queries of a task of the forward pass, which no sum depends on.
  static let queriesPerTask = 128
  /// Query heads that share a block of packed keys and values at a time.
  static let headsTogether = 4
  /// Floats between rows of scores: no power of two, which would map all rows to the same lines of the cache.
  static let scoreStride = keyBlock + 16

  let table: ck_table
  let heads: Int
  let keyValueHeads: Int
  let dimension: Int
  let window: Int?
  let scale: Float

  init(_ shape: AttentionShape, _ table: ck_table) {
    self.table = table
    heads = shape.heads
    keyValueHeads = shape.keyValueHeads
    dimension = shape.headDimension
    window = shape.window
    scale = shape.scale
  }

  /// Query heads of a key-value head.
  var group: Int { heads / keyValueHeads }

  /// Rows of one head, or of a document's: `[rows, dimension]`, at position 0.
  struct Rows {
    let base: UnsafeMutablePointer<Float>
    let stride: Int

    init(_ matrix: Matrix, row: Int, column: Int) {
      base = matrix.base + row * matrix.stride + column
      stride = matrix.stride
    }

    subscript(row: Int) -> UnsafeMutablePointer<Float> { base + row * stride }
  }

  /// The parts of a thread's scratch memory.
  struct Scratch {
    let scores: UnsafeMutablePointer<Float>
    let gradients: UnsafeMutablePointer<Float>
    /// Maximum and sum of each head and query.
    let statistics: UnsafeMutablePointer<Float>
    /// Packed rows of a block. For scores and their gradients rows become columns of the right operand.
    let keyColumns: UnsafeMutablePointer<Float>
    let valueColumns: UnsafeMutablePointer<Float>
    let keys: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let queries: UnsafeMutablePointer<Float>
    let outGradients: UnsafeMutablePointer<Float>
    let product: UnsafeMutablePointer<Float>

    private static let block = queriesPerTask * scoreStride
    private static let statisticsCount = 2 * headsTogether * queriesPerTask

    private static func panelFloats(_ dimension: Int) -> Int { keyBlock * ((dimension + 15) / 16 * 16) }

    static func floats(dimension: Int) -> Int { 2 * block + statisticsCount + 5 * panelFloats(dimension) }

    init(_ memory: Buffer<Float>, dimension: Int, product: Buffer<Float>) {
      precondition(memory.count >= Self.floats(dimension: dimension), "a head too wide")
      scores = memory.base
      gradients = scores + Self.block
      statistics = gradients + Self.block
      let panel = Self.panelFloats(dimension)
      keyColumns = statistics + Self.statisticsCount
      keys = keyColumns + panel
      queries = keys + panel
      valueColumns = queries + panel
      // The forward pass packs values, the backward pass outputs' gradients.
      values = valueColumns + panel
      outGradients = values
      self.product = product.base
    }
  }

  /// Key blocks that any of some queries sees.
  private func keyBlocks(_ queries: Range<Int>) -> Range<Int> {
    firstVisible(queries.lowerBound) / Self.keyBlock..<(queries.upperBound - 1) / Self.keyBlock + 1
  }

  @inline(__always)
  private func firstVisible(_ position: Int) -> Int { window.map { max(0, position - $0 + 1) } ?? 0 }

  /// The keys of a block that any of some queries sees, from the block's start.
  private func keys(_ block: Int, _ queries: Range<Int>) -> Range<Int> {
    let first = block * Self.keyBlock
    return first..<min(first + Self.keyBlock, queries.upperBound)
  }

  /// Those of some queries that see a key of a block.
  private func seeing(_ block: Int, _ queries: Range<Int>) -> Range<Int> {
    let first = block * Self.keyBlock
    let low = max(queries.lowerBound, first)
    let high = window.map { min(queries.upperBound, first + Self.keyBlock + $0 - 1) } ?? queries.upperBound
    return low..<max(low, high)
  }

  // MARK: Forward

  /// Attention of some queries of one document, for one key-value head and its query heads.
  ///
  /// - Parameters:
  ///   - queries: positions in the document, at most `queriesPerTask`.
  ///   - query, out: of the group's first head, at the first query.
  ///   - key, value: at position 0.
  ///   - logSumExp: of the first query and the group's first head, `heads` floats from query to query.
  func forward(
    _ queries: Range<Int>, query: Rows, key: Rows, value: Rows, out: Rows,
    logSumExp: UnsafeMutablePointer<Float>?, scratch: Scratch
  ) {
    let blocks = keyBlocks(queries)
    for firstHead in stride(from: 0, to: group, by: Self.headsTogether) {
      let some = firstHead..<min(group, firstHead + Self.headsTogether)
      let maxima = scratch.statistics
      let sums = maxima + Self.headsTogether * Self.queriesPerTask
      for head in some {
        for row in 0..<queries.count {
          let place = (head - firstHead) * Self.queriesPerTask + row
          (maxima[place], sums[place]) = (-.infinity, 0)
          (out[row] + head * dimension).update(repeating: 0, count: dimension)
        }
      }
      for block in blocks {
        let seeing = seeing(block, queries)
        let keys = keys(block, seeing)
        pack(rows: key, keys, into: scratch.keyColumns)
        pack(columns: value, keys, into: scratch.values)
        for head in some {
          let row = seeing.lowerBound - queries.lowerBound
          let place = (head - firstHead) * Self.queriesPerTask + row
          let output = out[row] + head * dimension
          scores(
            query[row] + head * dimension, query.stride, seeing.count, keys.count,
            diagonal: seeing.lowerBound - keys.lowerBound, scratch.keyColumns, scratch.scores, scratch)
          for (index, position) in seeing.enumerated() {
            let low = max(firstVisible(position) - keys.lowerBound, 0)
            let high = min(position + 1 - keys.lowerBound, keys.count)
            let factor = table.softmax_online(
              Int64(keys.count), Int64(low), Int64(high), scale, scratch.scores + index * Self.scoreStride,
              maxima + place + index, sums + place + index)
            if factor != 1 {
              table.scale(Int64(dimension), factor, output + index * out.stride, output + index * out.stride)
            }
          }
          product(
            rows: seeing.count, columns: dimension, inner: keys.count, a: scratch.scores, Self.scoreStride, 1,
            b: scratch.values, panel: PackedMatrix.panel * keys.count, c: output, out.stride, accumulate: true,
            (CK_OPERAND_BELOW, seeing.lowerBound - keys.lowerBound), scratch)
        }
      }
      for head in some {
        for row in 0..<queries.count {
          let place = (head - firstHead) * Self.queriesPerTask + row
          let output = out[row] + head * dimension
          table.scale(Int64(dimension), 1 / sums[place], output, output)
          logSumExp?[row * heads + head] = maxima[place] + table.logarithm(sums[place])
        }
      }
    }
  }

  // MARK: Backward

  /// The gradients of one document's queries, keys and values, for one key-value head and its query heads.
  ///
  /// Block of keys by block of keys: scores are recomputed from the log-sum-exp. With D = rowsum(dO ∘ O): dV = Pᵀ dO,
  /// dP = dO Vᵀ, dS = scale · P ∘ (dP − D), dQ = dS K, dK = dSᵀ Q.
  ///
  /// - Parameters:
  ///   - count: tokens of the document.
  ///   - query, key, value and the rest: at position 0; of the group's first head where there are several.
  func backward(
    _ count: Int, query: Rows, key: Rows, value: Rows, out: Rows, logSumExp: UnsafeMutablePointer<Float>,
    outGradient: Rows, queryGradient: Rows, keyGradient: Rows, valueGradient: Rows, scratch: Scratch
  ) {
    let delta = scratch.statistics
    for row in 0..<count {
      queryGradient[row].update(repeating: 0, count: group * dimension)
      keyGradient[row].update(repeating: 0, count: dimension)
      valueGradient[row].update(repeating: 0, count: dimension)
    }
    for block in 0..<(count + Self.keyBlock - 1) / Self.keyBlock {
      let all = keys(block, 0..<count)
      pack(rows: key, all, into: scratch.keyColumns)
      pack(rows: value, all, into: scratch.valueColumns)
      pack(columns: key, all, into: scratch.keys)
      let panel = PackedMatrix.panel * all.count
      for head in 0..<group {
        let column = head * dimension
        for first in stride(from: all.lowerBound / Self.queryBlock * Self.queryBlock, to: count, by: Self.queryBlock) {
          let queries = seeing(block, first..<min(count, first + Self.queryBlock))
          if queries.isEmpty { continue }
          let keys = keys(block, queries)
          let row = queries.lowerBound
          let diagonal = row - keys.lowerBound
          pack(columns: query, queries, offset: column, into: scratch.queries)
          pack(columns: outGradient, queries, offset: column, into: scratch.outGradients)
          scores(
            query[row] + column, query.stride, queries.count, keys.count, diagonal: diagonal, scratch.keyColumns,
            scratch.scores, scratch)
          scores(
            outGradient[row] + column, outGradient.stride, queries.count, keys.count, diagonal: diagonal,
            scratch.valueColumns, scratch.gradients, scratch)
          for (index, position) in queries.enumerated() {
            delta[index] = table.dot(Int64(dimension), outGradient[position] + column, out[position] + column)
            let low = max(firstVisible(position) - keys.lowerBound, 0)
            let high = min(position + 1 - keys.lowerBound, keys.count)
            table.softmax_backward(
              Int64(keys.count), Int64(low), Int64(high), scale, logSumExp[position * heads + head], delta[index],
              scratch.scores + index * Self.scoreStride, scratch.gradients + index * Self.scoreStride)
          }
          let queryPanel = PackedMatrix.panel * queries.count
          product(
            rows: keys.count, columns: dimension, inner: queries.count, a: scratch.scores, 1, Self.scoreStride,
            b: scratch.outGradients, panel: queryPanel, c: valueGradient[keys.lowerBound], valueGradient.stride,
            accumulate: true, (CK_OPERAND_ABOVE, diagonal), scratch)
          product(
            rows: keys.count, columns: dimension, inner: queries.count, a: scratch.gradients, 1, Self.scoreStride,
            b: scratch.queries, panel: queryPanel, c: keyGradient[keys.lowerBound], keyGradient.stride,
            accumulate: true, (CK_OPERAND_ABOVE, diagonal), scratch)
          product(
            rows: queries.count, columns: dimension, inner: keys.count, a: scratch.gradients, Self.scoreStride, 1,
            b: scratch.keys, panel: panel, c: queryGradient[row] + column, queryGradient.stride, accumulate: true,
            (CK_OPERAND_BELOW, diagonal), scratch)
        }
      }
    }
  }

  // MARK: Products

  /// Packs rows as the columns of a product's right operand: `[panels of rows][dimension][16]`.
  private func pack(rows: Rows, _ range: Range<Int>, into packed: UnsafeMutablePointer<Float>) {
    table.pack_columns(
      Int64(range.count), Int64(dimension), rows[range.lowerBound], Int64(rows.stride), 1, packed,
      Int64(PackedMatrix.panel * dimension))
  }

  /// Packs rows as they are: `[panels of the dimension][rows][16]`.
  private func pack(columns rows: Rows, _ range: Range<Int>, offset: Int = 0, into packed: UnsafeMutablePointer<Float>)
  {
    table.pack_columns(
      Int64(dimension), Int64(range.count), rows[range.lowerBound] + offset, 1, Int64(rows.stride), packed,
      Int64(PackedMatrix.panel * range.count))
  }

  private func scores(
    _ rows: UnsafeMutablePointer<Float>, _ stride: Int, _ count: Int, _ keys: Int, diagonal: Int,
    _ packed: UnsafeMutablePointer<Float>, _ scores: UnsafeMutablePointer<Float>, _ scratch: Scratch
  ) {
    product(
      rows: count, columns: keys, inner: dimension, a: rows, stride, 1, b: packed,
      panel: PackedMatrix.panel * dimension, c: scores, Self.scoreStride, accumulate: false,
      (CK_RESULTS_BELOW, diagonal), scratch)
  }

  private func product(
    rows: Int, columns: Int, inner: Int, a: UnsafeMutablePointer<Float>, _ aRow: Int, _ aStep: Int,
    b: UnsafeMutablePointer<Float>, panel: Int, c: UnsafeMutablePointer<Float>, _ cStride: Int, accumulate: Bool,
    _ triangle: (kind: ck_triangle, diagonal: Int), _ scratch: Scratch
  ) {
    // Rows of a, and columns, may be more than a tile's.
    for row in stride(from: 0, to: rows, by: Int(CK_ROW_TILE)) {
      for column in stride(from: 0, to: columns, by: Int(CK_COLUMN_TILE)) {
        var tile = ck_product()
        tile.rows = Int64(min(Int(CK_ROW_TILE), rows - row))
        tile.columns = Int64(min(Int(CK_COLUMN_TILE), columns - column))
        tile.inner = Int64(inner)
        tile.a = UnsafePointer(a + row * aRow)
        (tile.a_row, tile.a_step, tile.a_in_place) = (Int64(aRow), Int64(aStep), true)
        tile.b = UnsafePointer(b + column / PackedMatrix.panel * panel)
        tile.b_panel = Int64(panel)
        tile.c = c + row * cStride + column
        tile.c_stride = Int64(cStride)
        tile.accumulate = accumulate
        tile.triangle = triangle.kind
        switch triangle.kind {
        case CK_RESULTS_BELOW: tile.diagonal = Int64(triangle.diagonal + row - column)
        case CK_OPERAND_ABOVE: tile.diagonal = Int64(triangle.diagonal - row)
        default: tile.diagonal = Int64(triangle.diagonal + row)
        }
        table.product(&tile, scratch.product)
      }
    }
  }
}

extension Backend {
  /// The rows of each document of a batch.
  private func documents(_ packing: SequencePacking, _ starts: Buffer<Int32>) -> [Range<Int>] {
    var documents: [Range<Int>] = []
    for sequence in 0..<packing.sequences {
      let rows = packing.tokens(of: sequence)
      var first = rows.lowerBound
      for row in rows where row > first && starts[row] != starts[row - 1] {
        documents.append(first..<row)
        first = row
      }
      if first < rows.upperBound { documents.append(first..<rows.upperBound) }
    }
    return documents
  }

  func documentAttention(
    _ shape: AttentionShape, qkv: Matrix, documentStarts: Buffer<Int32>, into out: Matrix, logSumExp: Buffer<Float>
  ) {
    typealias Task = (document: Int, queries: Range<Int>, head: Int)
    let documents = documents(shape.packing, documentStarts)
    let attention = DocumentAttention(shape, table)
    var tasks: [Task] = []
    for (index, document) in documents.enumerated() {
      for first in stride(from: 0, to: document.count, by: DocumentAttention.queriesPerTask) {
        let queries = first..<min(document.count, first + DocumentAttention.queriesPerTask)
        for head in 0..<shape.keyValueHeads { tasks.append((index, queries, head)) }
      }
    }
    // The longest first, so that no thread begins one last.
    tasks.sort { $0.queries.upperBound > $1.queries.upperBound }
    let (all, d, group) = (tasks, shape.headDimension, attention.group)
    team.forEach(all.count) { [self] index, thread in
      let (document, queries, head) = all[index]
      let row = documents[document].lowerBound
      let first = row + queries.lowerBound
      let keyColumn = shape.queryColumns + head * d
      attention.forward(
        queries, query: .init(qkv, row: first, column: head * group * d),
        key: .init(qkv, row: row, column: keyColumn),
        value: .init(qkv, row: row, column: keyColumn + shape.keyValueHeads * d),
        out: .init(out, row: first, column: head * group * d),
        logSumExp: logSumExp.base + first * shape.heads + head * group, scratch: attentionScratch(thread, d))
    }
  }

  func documentAttentionBackward(
    _ shape: AttentionShape, qkv: Matrix, documentStarts: Buffer<Int32>, out: Matrix, logSumExp: Buffer<Float>,
    outGradient: Matrix, qkvGradient: Matrix
  ) {
    let documents = documents(shape.packing, documentStarts).sorted { $0.count > $1.count }
    let attention = DocumentAttention(shape, table)
    let (d, group) = (shape.headDimension, attention.group)
    team.forEach(documents.count * shape.keyValueHeads) { [self] task, thread in
      let rows = documents[task / shape.keyValueHeads]
      let head = task % shape.keyValueHeads
      let row = rows.lowerBound
      let (column, keyColumn) = (head * group * d, shape.queryColumns + head * d)
      let valueColumn = keyColumn + shape.keyValueHeads * d
      attention.backward(
        rows.count, query: .init(qkv, row: row, column: column), key: .init(qkv, row: row, column: keyColumn),
        value: .init(qkv, row: row, column: valueColumn), out: .init(out, row: row, column: column),
        logSumExp: logSumExp.base + row * shape.heads + head * group,
        outGradient: .init(outGradient, row: row, column: column),
        queryGradient: .init(qkvGradient, row: row, column: column),
        keyGradient: .init(qkvGradient, row: row, column: keyColumn),
        valueGradient: .init(qkvGradient, row: row, column: valueColumn), scratch: attentionScratch(thread, d))
    }
  }

  func documentAttention(
    _ shape: AttentionShape, first: Int, queries: Matrix, keys: Matrix, values: Matrix, into out: Matrix
  ) {
    let attention = DocumentAttention(shape, table)
    let (d, group, end) = (shape.headDimension, attention.group, first + queries.rows)
    let blockSize = DocumentAttention.queriesPerTask
    let blocks = (queries.rows + blockSize - 1) / blockSize
    team.forEach(blocks * shape.keyValueHeads) { [self] task, thread in
      let head = task % shape.keyValueHeads
      let row = task / shape.keyValueHeads * blockSize
      attention.forward(
        first + row..<min(end, first + row + blockSize),
        query: .init(queries, row: row, column: head * group * d), key: .init(keys, row: 0, column: head * d),
        value: .init(values, row: 0, column: head * d), out: .init(out, row: row, column: head * group * d),
        logSumExp: nil, scratch: attentionScratch(thread, d))
    }
  }

  private func attentionScratch(_ thread: Int, _ dimension: Int) -> DocumentAttention.Scratch {
    DocumentAttention.Scratch(attentionMemory(thread), dimension: dimension, product: productScratch(thread))
  }
}
