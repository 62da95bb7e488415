extension Tokenizer {
  /// Encodes bytes; special tokens written in them are ordinary text.
  ///
  /// - Parameter name: the name of the bytes in messages.
  /// - Throws: `ForgeError.badInput` when the vocabulary lacks a byte that occurs, or a part can be encoded only as a
  ///   special token or one around documents.
  public func encode(_ bytes: UnsafeRawBufferPointer, named name: String = "the text") throws -> [Int32] {
    do {
      return try encode(bytes, parseSpecialTokens: false)
    } catch let error as UnencodableText {
      throw error.refusal(of: name)
    }
  }

  /// Encodes bytes; special tokens written in them are ordinary text. Throws as above.
  public func encode(_ bytes: [UInt8], named name: String = "the text") throws -> [Int32] {
    try bytes.withUnsafeBytes { try encode($0, named: name) }
  }

  /// Encodes a text.
  ///
  /// - Parameters:
  ///   - addBeginOfSequence: whether the ids start with `beginOfSequence`, if there is one.
  ///   - parseSpecialTokens: whether `</s>` in the text is parsed as the special token. Leave it off for untrusted
  ///     text.
  /// - Throws: `ForgeError.badInput` when the tokenizer cannot encode the text.
  public func encode(
    _ text: String, addBeginOfSequence: Bool = false, parseSpecialTokens: Bool = false
  ) throws -> [Int32] {
    var text = text
    do {
      var ids = try text.withUTF8 {
        try encode(UnsafeRawBufferPointer($0), parseSpecialTokens: parseSpecialTokens)
      }
      if addBeginOfSequence, let beginOfSequence { ids.insert(beginOfSequence, at: 0) }
      return ids
    } catch let error as UnencodableText {
      throw error.refusal(of: "the text")
    }
  }

  /// Encodes bytes.
  ///
  /// - Parameter parseSpecialTokens: whether `</s>` in the bytes is parsed as the special token.
  /// - Throws: `UnencodableText`.
  func encode(_ bytes: UnsafeRawBufferPointer, parseSpecialTokens: Bool) throws -> [Int32] {
    var ids: [Int32] = []
    ids.reserveCapacity(bytes.count / 3)
    try withScratch(parsing: parseSpecialTokens) { scratch in
      try bytes.withMemoryRebound(to: UInt8.self) { text in
        let rules = parseSpecialTokens ? parsingRules : plainRules
        try encode(text, rules, scratch: &scratch, into: &ids)
      }
    }
    return ids
  }

  /// Splits `text` at the added tokens and encodes the stretches between: first at those in the raw text, then, in each
  /// normalised stretch, at those that are matched there.
  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, _ rules: TextRules, scratch: inout EncodingScratch, into ids: inout [Int32]
  ) throws {
    try addedTokens.raw.split(text, ignoring: rules.ignoredTokens) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .stretch(let range):
        do {
          let stretch = UnsafeBufferPointer(rebasing: text[range])
          if let normalized = normalizer.normalized(stretch) {
            try normalized.withUnsafeBufferPointer { try encodeNormalized($0, rules, scratch: &scratch, into: &ids) }
          } else {
            try encodeNormalized(stretch, rules, scratch: &scratch, into: &ids)
          }
        } catch var error as UnencodableText {
          error.line += UTF8Text.lineEnds(in: text[..<range.lowerBound])
          throw error
        }
      }
    }
  }

  private func encodeNormalized(
    _ text: UnsafeBufferPointer<UInt8>, _ rules: TextRules, scratch: inout EncodingScratch, into ids: inout [Int32]
  ) throws {
    try addedTokens.normalized.split(text, ignoring: rules.ignoredTokens) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .stretch(let range):
        do {
          try encodeWords(UnsafeBufferPointer(rebasing: text[range]), rules, scratch: &scratch, into: &ids)
        } catch var error as UnencodableText {
          error.line += UTF8Text.lineEnds(in: text[..<range.lowerBound])
          throw error
        }
      }
    }
  }

  /// Splits `text` into words and encodes each, or takes its ids from the cache.
  private func encodeWords(
    _ text: UnsafeBufferPointer<UInt8>, _ rules: TextRules, scratch: inout EncodingScratch, into ids: inout [Int32]
  ) throws {
    try withTables(text, rules) { scanner, lookup, byteIDs in
      try scratch.cache.entries.withUnsafeMutableBufferPointer { cache in
        var start = 0
        while start < scanner.end {
          let end = scanner.wordEnd(from: start)
          let length = end - start
          let range = start..<end
          start = end
          guard length <= WordCache.longestWord else {
            try mergeWord(range, of: text, rules, byteIDs, lookup, &scratch.merger, into: &ids)
            continue
          }
          let key = WordCache.key(scanner.bytes + range.lowerBound, length: length)
          let slot = WordCache.slot(low: key.low, high: key.high, length: length)
          let entry = cache[slot]
          if entry.low == key.low, entry.high == key.high, entry.length == length {
            ids.append(entry.ids.0)
            if entry.count > 1 { ids.append(entry.ids.1) }
            if entry.count > 2 { ids.append(entry.ids.2) }
            continue
          }
          let first = ids.count
          try mergeWord(range, of: text, rules, byteIDs, lookup, &scratch.merger, into: &ids)
          let count = ids.count - first
          guard count <= WordCache.maxIDs else { continue }
          cache[slot] = WordCache.Entry(
            low: key.low, high: key.high,
            ids: (ids[first], count > 1 ? ids[first + 1] : 0, count > 2 ? ids[first + 2] : 0),
            length: UInt16(length), count: UInt16(count))
        }
      }
    }
  }

  private func mergeWord(
    _ range: Range<Int>, of text: UnsafeBufferPointer<UInt8>, _ rules: TextRules, _ byteIDs: UnsafePointer<Int32>,
    _ lookup: MergeLookup, _ merger: inout WordMerger, into ids: inout [Int32]
  ) throws {
    let word = UnsafeBufferPointer(rebasing: text[range])
    if ignoresMerges, let id = vocabulary.id(of: word), !rules.keptFromWords.contains(id) {
      ids.append(id)
      return
    }
    if rules.hasMissingBytes, let place = word.firstIndex(where: { byteIDs[Int($0)] == ByteSymbols.missing }) {
      throw UnencodableText.missingByte(
        word[place], line: 1 + UTF8Text.lineEnds(in: text[..<(range.lowerBound + place)]))
    }
    merger.merge(word, byteIDs: byteIDs, fusedUnlessKnown: rules.fusedUnlessKnown, lookup: lookup)
    guard !rules.replacements.isEmpty else {
      ids.append(contentsOf: merger.ids)
      return
    }
    for id in merger.ids {
      guard let others = rules.replacements[id] else {
        ids.append(id)
        continue
      }
      guard !others.isEmpty else {
        throw UnencodableText.controlToken(
          vocabulary[id], line: 1 + UTF8Text.lineEnds(in: text[..<range.lowerBound]))
      }
      ids.append(contentsOf: others)
    }
  }

  /// Calls `body` with pointers into the tables, which stay valid for the call.
  private func withTables(
    _ text: UnsafeBufferPointer<UInt8>, _ rules: TextRules,
    _ body: (WordScanner, MergeLookup, UnsafePointer<Int32>) throws -> Void
  ) rethrows {
    try CharacterClasses.table.withUnsafeBufferPointer { classes in
      try merges.slots.withUnsafeBufferPointer { slots in
        try rules.byteIDs.withUnsafeBufferPointer { byteIDs in
          guard let base = text.baseAddress, let classes = classes.baseAddress, let slotBase = slots.baseAddress,
            let byteIDs = byteIDs.baseAddress
          else { return }
          try body(
            WordScanner(bytes: base, end: text.count, pattern: pattern, classes: classes),
            MergeLookup(slots: slotBase, mask: slots.count - 1, shift: merges.shift), byteIDs)
        }
      }
    }
  }
}
