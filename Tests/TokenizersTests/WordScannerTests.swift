import Foundation
import Testing

@testable import Tokenizers

@Suite struct WordScannerTests {
  @Test("every scalar has the class that the reference's regular expressions give it")
  func classes() throws {
    let ranges = try JSONDecoder().decode([String: [[UInt32]]].self, from: Fixture.data("classes.json"))
    var expected = [CharacterClass](repeating: .other, count: 0x110000)
    for (name, kind) in [("letter", CharacterClass.letter), ("number", .number), ("whitespace", .whitespace)] {
      for range in try #require(ranges[name]) {
        for scalar in range[0]...range[1] { expected[Int(scalar)] = kind }
      }
    }
    expected[0x0A] = .newline
    expected[0x0D] = .newline
    let table = CharacterClasses.table
    #expect(expected[table.count...].allSatisfy { $0 == .other })
    let wrong = table.indices.filter { table[$0] != expected[$0] }
    #expect(wrong.isEmpty, "\(wrong.prefix(10).map { String($0, radix: 16) })")
  }

  @Test("words are those of the regular expression", arguments: SplitPattern.allCases)
  func words(pattern: SplitPattern) throws {
    for example in try Fixture.cases() {
      let words = split(Array(example.text.utf8), pattern)
      #expect(words.map { String(decoding: $0, as: UTF8.self) } == example.words[pattern.rawValue])
    }
  }

  @Test("a byte that is not part of a character is a symbol")
  func invalidBytes() {
    let invalid: [[UInt8]] = [
      [0xFF], [0x80], [0xC1, 0x81], [0xE0, 0x80, 0xA0], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xC3],
      [0xE4, 0xBA],
    ]
    for bytes in invalid {
      // Each is a symbol, which a space may precede and neither a letter nor a digit joins.
      #expect(split(Array("x ".utf8) + bytes + Array("1".utf8), .llamaBPE) == [[0x78], [0x20] + bytes, [0x31]])
    }
  }

  @Test("words of any bytes put together are these bytes", arguments: SplitPattern.allCases)
  func nothingIsLost(pattern: SplitPattern) {
    let bytes = Fixture.noise(count: 20_000, seed: 1)
    #expect(Array(split(bytes, pattern).joined()) == bytes)
  }

  @Test("cutting long text in pieces does not change its words", arguments: SplitPattern.allCases)
  func pieces(pattern: SplitPattern) throws {
    let text = try Fixture.corpus()
    let pieces = TextPieces.cut(text, into: 100)
    #expect(pieces.count > 10)
    #expect(pieces.flatMap { split(Array(text[$0]), pattern) } == split(text, pattern))
  }

  private func split(_ text: [UInt8], _ pattern: SplitPattern) -> [[UInt8]] {
    text.withUnsafeBufferPointer { text in
      CharacterClasses.table.withUnsafeBufferPointer { classes in
        guard let base = text.baseAddress else { return [] }
        let scanner = WordScanner(bytes: base, end: text.count, pattern: pattern, classes: classes.baseAddress!)
        var words: [[UInt8]] = []
        var start = 0
        while start < text.count {
          let end = scanner.wordEnd(from: start)
          words.append(Array(text[start..<end]))
          start = end
        }
        return words
      }
    }
  }
}
