extension Tokenizer {
  /// Encodes many documents on several threads; the result does not depend on their number.
  ///
  /// - Parameters:
  ///   - documents: the bytes of each document, valid UTF-8 or not.
  ///   - parseSpecialTokens: whether `</s>` in a document is parsed as the special token.
  ///   - threads: how many threads share the work.
  ///   - place: the name in messages of a line of the document with that index.
  /// - Returns: the ids of each document, in the documents' order.
  /// - Throws: `ForgeError.badInput` for the first document that the tokenizer cannot encode.
  public func encode(
    documents: [[UInt8]], parseSpecialTokens: Bool = false, threads: Int,
    place: (_ document: Int, _ line: Int) -> String = { "line \($1) of document \($0 + 1)" }
  ) throws -> [[Int32]] {
    let canCut = addedTokens.canCutLines && normalizer.canCutLines
    let pieces = documents.map { canCut ? TextPieces.cut($0) : [$0.indices] }
    let work = pieces.indices.flatMap { document in pieces[document].map { (document, $0) } }
    var results = [Result<[Int32], any Error>](repeating: .success([]), count: work.count)
    results.withUnsafeMutableBufferPointer { results in
      let results = DisjointElements(results)
      concurrently(count: work.count, threads: threads) { _, index in
        let (document, range) = work[index]
        results[index] = Result {
          try documents[document].withUnsafeBytes { bytes in
            try encode(UnsafeRawBufferPointer(rebasing: bytes[range]), parseSpecialTokens: parseSpecialTokens)
          }
        }
      }
    }
    var ids = [[Int32]](repeating: [], count: documents.count)
    for ((document, range), result) in zip(work, results) {
      do {
        let piece = try result.get()
        if ids[document].isEmpty { ids[document] = piece } else { ids[document] += piece }
      } catch var error as UnencodableText {
        error.line += UTF8Text.lineEnds(in: documents[document][..<range.lowerBound])
        throw error.refusal(at: place(document, error.line))
      }
    }
    return ids
  }
}
