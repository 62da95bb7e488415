import Foundation
import Testing

@testable import Tokenizers

@Suite struct EncodingTests {
  @Test("ids are those of the reference", arguments: Fixture.tokenizers)
  func ids(name: String) throws {
    let tokenizer = try Fixture.tokenizer(name)
    for example in try Fixture.cases() {
      #expect(try tokenizer.encode(example.text) == example.ids[name])
      #expect(try tokenizer.encode(example.text, parseSpecialTokens: true) == example.idsWithSpecialTokens[name])
      // Again, from the cache.
      #expect(try tokenizer.encode(example.text) == example.ids[name])
    }
  }

  @Test("decoding gives the same bytes back", arguments: Fixture.tokenizers.filter { $0 != "qwen-shape.json" })
  func roundTrip(name: String) throws {
    let tokenizer = try Fixture.tokenizer(name)
    for seed in 1...20 {
      let bytes = Fixture.noise(count: seed * seed * 20, seed: UInt64(seed))
      #expect(tokenizer.decode(try tokenizer.encode(bytes)) == bytes)
    }
    for example in try Fixture.cases() {
      #expect(tokenizer.decode(try tokenizer.encode(example.text)) == Array(example.text.utf8))
    }
  }

  @Test("a stray byte stays as it is, and does not switch normalisation off")
  func invalidTextIsNormalized() throws {
    let bytes = Array("e\u{301}".utf8) + [0xFF]
    let tokenizer = try Fixture.tokenizer("qwen-shape.json")
    #expect(tokenizer.decode(try tokenizer.encode(bytes)) == Array("\u{E9}".utf8) + [0xFF])
    #expect(tokenizer.decode(try tokenizer.encode("e\u{301}")) == Array("\u{E9}".utf8))
  }

  @Test("special tokens are left out of decoded text unless asked for")
  func specialTokens() throws {
    let tokenizer = try Fixture.tokenizer("llama-bpe.json")
    #expect(tokenizer.beginOfSequence == 1)
    #expect(tokenizer.endOfSequence == 2)
    #expect(tokenizer.specialToken("[/INST]") == 4)
    let ids = try tokenizer.encode("Hi</s>", addBeginOfSequence: true, parseSpecialTokens: true)
    #expect(ids.first == 1 && ids.last == 2)
    #expect(tokenizer.decode(ids) == Array("Hi".utf8))
    #expect(tokenizer.decode(ids, skipSpecialTokens: false) == Array("<s>Hi</s>".utf8))
    #expect(try !tokenizer.encode("<s>Hi</s>").contains { $0 < 11 })
  }

  @Test("a batch has the ids of its documents, with any number of threads")
  func batch() throws {
    let tokenizer = try Fixture.tokenizer("llama-bpe.json")
    let documents = (0..<50).map { Fixture.noise(count: $0 * 37, seed: UInt64($0)) } + [try Fixture.corpus(), []]
    let expected = try documents.map { try tokenizer.encode($0) }
    for threads in [1, 2, 7] {
      let isSame = try tokenizer.encode(documents: documents, threads: threads) == expected
      #expect(isSame)
    }
  }

  @Test("a long document, encoded in pieces, has the same ids")
  func longDocument() throws {
    let tokenizer = try Fixture.tokenizer("gpt2.json")
    let corpus = try Fixture.corpus()
    let document = Array(repeatElement(corpus, count: 3 * TextPieces.usualSize / corpus.count).joined())
    #expect(TextPieces.cut(document).count > 1)
    let isSame = try tokenizer.encode(documents: [document], threads: 2) == [tokenizer.encode(document)]
    #expect(isSame)
  }

  @Test("ids out of range decode to nothing")
  func unknownIDs() throws {
    let tokenizer = try Fixture.tokenizer("llama-bpe.json")
    #expect(tokenizer.decode([-1, Int32(tokenizer.vocabularySize), .max]) == [])
  }

  @Test("the queue of a long word and the scan of a short one make the same merges")
  func longWords() throws {
    let tokenizer = try Fixture.tokenizer("gpt2.json")
    // Words of letters only, just below and above the length where the method changes.
    for length in 60...70 {
      let letters = Fixture.noise(count: length, seed: UInt64(length)).map { UInt8(ascii: "a") + $0 % 5 }
      #expect(try tokenizer.encode(letters) == reference(letters, tokenizer))
    }
  }

  @Test("of two merges of one pair the later one counts")
  func repeatedMerge() {
    var table = MergeTable(capacity: 2)
    table.insert(left: 1, right: 2, rank: 0, id: 3)
    table.insert(left: 1, right: 2, rank: 1, id: 4)
    table.slots.withUnsafeBufferPointer { slots in
      let lookup = MergeLookup(slots: slots.baseAddress!, mask: slots.count - 1, shift: table.shift)
      #expect(lookup.merge(1, 2) == 1 << 32 | 4)
      #expect(lookup.merge(2, 1) == MergeTable.absent)
    }
  }

  /// Byte-pair encoding in its plainest form.
  private func reference(_ word: [UInt8], _ tokenizer: Tokenizer) -> [Int32] {
    var ids = word.map { tokenizer.parsingRules.byteIDs[Int($0)] }
    tokenizer.merges.slots.withUnsafeBufferPointer { slots in
      let lookup = MergeLookup(slots: slots.baseAddress!, mask: slots.count - 1, shift: tokenizer.merges.shift)
      while true {
        let merges = zip(ids, ids.dropFirst()).map { lookup.merge($0, $1) }
        guard let best = merges.min(), best != MergeTable.absent else { return }
        let place = merges.firstIndex(of: best)!
        ids.replaceSubrange(place...place + 1, with: [Int32(truncatingIfNeeded: best)])
      }
    }
    return ids
  }
}
