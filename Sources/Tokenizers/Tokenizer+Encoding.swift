extension Tokenizer {
  /// The ids of any bytes; special tokens written in them are ordinary text.
  public func encode(_ bytes: UnsafeRawBufferPointer) -> [Int32] {
    encode(bytes, parseSpecialTokens: false)
  }

  /// The ids of any bytes; special tokens written in them are ordinary text.
  public func encode(_ bytes: [UInt8]) -> [Int32] {
    bytes.withUnsafeBytes { encode($0) }
  }

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - addBeginOfSequence: whether the ids start with `beginOfSequence`, if there is one.
  ///   - parseSpecialTokens: whether `</s>` in the text means the special token. Leave it off for text from outside.
  public func encode(_ text: String, addBeginOfSequence: Bool = false, parseSpecialTokens: Bool = false) -> [Int32] {
    var text = text
    var ids = text.withUTF8 { encode(UnsafeRawBufferPointer($0), parseSpecialTokens: parseSpecialTokens) }
    if addBeginOfSequence, let beginOfSequence { ids.insert(beginOfSequence, at: 0) }
    return ids
  }

  /// The ids of any bytes.
  ///
  /// - Parameter parseSpecialTokens: whether `</s>` in the bytes means the special token.
  public func encode(_ bytes: UnsafeRawBufferPointer, parseSpecialTokens: Bool) -> [Int32] {
    var ids: [Int32] = []
    ids.reserveCapacity(bytes.count / 3)
    withScratch { scratch in
      bytes.withMemoryRebound(to: UInt8.self) { text in
        encode(text, parseSpecialTokens: parseSpecialTokens, scratch: &scratch, into: &ids)
      }
    }
    return ids
  }

  /// Encodes between the added tokens of `text`, which have ids of their own.
  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, parseSpecialTokens: Bool, scratch: inout EncodingScratch,
    into ids: inout [Int32]
  ) {
    var start = 0
    while let match = addedTokens.firstMatch(in: text, from: start, parseSpecialTokens: parseSpecialTokens) {
      encodeSegment(UnsafeBufferPointer(rebasing: text[start..<match.range.lowerBound]), scratch: &scratch, into: &ids)
      ids.append(match.id)
      start = match.range.upperBound
    }
    encodeSegment(UnsafeBufferPointer(rebasing: text[start...]), scratch: &scratch, into: &ids)
  }

  private func encodeSegment(
    _ text: UnsafeBufferPointer<UInt8>, scratch: inout EncodingScratch, into ids: inout [Int32]
  ) {
    if normalizes, let normalized = Normalization.composed(text) {
      normalized.withUnsafeBufferPointer { encodeWords($0, scratch: &scratch, into: &ids) }
    } else {
      encodeWords(text, scratch: &scratch, into: &ids)
    }
  }

  /// Cuts `text` into words and encodes each, from the cache when it was met before.
  private func encodeWords(
    _ text: UnsafeBufferPointer<UInt8>, scratch: inout EncodingScratch, into ids: inout [Int32]
  ) {
    withTables(text) { scanner, lookup, byteIDs in
      scratch.cache.entries.withUnsafeMutableBufferPointer { cache in
        var start = 0
        while start < scanner.end {
          let end = scanner.wordEnd(from: start)
          let length = end - start
          let word = UnsafeBufferPointer(start: scanner.bytes + start, count: length)
          start = end
          guard length <= WordCache.longestWord else {
            mergeWord(word, byteIDs, lookup, &scratch.merger, into: &ids)
            continue
          }
          let key = WordCache.key(scanner.bytes + (end - length), length: length)
          let slot = WordCache.slot(low: key.low, high: key.high, length: length)
          let entry = cache[slot]
          if entry.low == key.low, entry.high == key.high, entry.length == length {
            ids.append(entry.ids.0)
            if entry.count > 1 { ids.append(entry.ids.1) }
            if entry.count > 2 { ids.append(entry.ids.2) }
            continue
          }
          let first = ids.count
          mergeWord(word, byteIDs, lookup, &scratch.merger, into: &ids)
          let count = ids.count - first
          guard count <= WordCache.mostIDs else { continue }
          cache[slot] = WordCache.Entry(
            low: key.low, high: key.high,
            ids: (ids[first], count > 1 ? ids[first + 1] : 0, count > 2 ? ids[first + 2] : 0),
            length: UInt16(length), count: UInt16(count))
        }
      }
    }
  }

  private func mergeWord(
    _ word: UnsafeBufferPointer<UInt8>, _ byteIDs: UnsafePointer<Int32>, _ lookup: MergeLookup,
    _ merger: inout WordMerger, into ids: inout [Int32]
  ) {
    if ignoresMerges, let id = vocabulary.id(of: word) {
      ids.append(id)
    } else {
      merger.merge(word, byteIDs: byteIDs, lookup: lookup)
      ids.append(contentsOf: merger.ids)
    }
  }

  /// Calls `body` with pointers into the tables, which stay valid for the call.
  private func withTables(
    _ text: UnsafeBufferPointer<UInt8>, _ body: (WordScanner, MergeLookup, UnsafePointer<Int32>) -> Void
  ) {
    CharacterClasses.table.withUnsafeBufferPointer { classes in
      merges.slots.withUnsafeBufferPointer { slots in
        byteIDs.withUnsafeBufferPointer { byteIDs in
          guard let base = text.baseAddress, let classes = classes.baseAddress, let slotBase = slots.baseAddress,
            let byteIDs = byteIDs.baseAddress
          else { return }
          body(
            WordScanner(bytes: base, end: text.count, pattern: pattern, classes: classes),
            MergeLookup(slots: slotBase, mask: slots.count - 1, shift: merges.shift), byteIDs)
        }
      }
    }
  }
}
