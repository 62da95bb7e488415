extension Tokenizer {
  /// The ids of many documents, encoded by several threads; the result does not depend on how many.
  ///
  /// - Parameters:
  ///   - documents: the bytes of each document, valid UTF-8 or not.
  ///   - parseSpecialTokens: whether `</s>` in a document means the special token.
  ///   - threads: how many threads share the work.
  /// - Returns: the ids of each document, in the documents' order.
  public func encode(documents: [[UInt8]], parseSpecialTokens: Bool = false, threads: Int) -> [[Int32]] {
    let canCut = !addedTokens.spanLines
    let pieces = documents.map { canCut ? TextPieces.cut($0) : [$0.indices] }
    let work = pieces.indices.flatMap { document in pieces[document].map { (document, $0) } }
    var results = [[Int32]](repeating: [], count: work.count)
    results.withUnsafeMutableBufferPointer { results in
      let results = DisjointElements(results)
      concurrently(count: work.count, threads: threads) { _, index in
        let (document, range) = work[index]
        results[index] = documents[document].withUnsafeBytes { bytes in
          encode(UnsafeRawBufferPointer(rebasing: bytes[range]), parseSpecialTokens: parseSpecialTokens)
        }
      }
    }
    var next = results.makeIterator()
    return pieces.map { pieces in
      if pieces.count == 1 { return next.next() ?? [] }
      return pieces.reduce(into: []) { ids, _ in ids += next.next() ?? [] }
    }
  }
}
