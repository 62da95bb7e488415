import Foundation
import Support
import Testing

@testable import Tokenizers

@Suite struct TrainingTests {
  /// The parts of a tokenizer.json that training decides.
  private struct Learned: Decodable, Equatable {
    struct Model: Decodable, Equatable {
      var vocab: [String: Int]
      var merges: [[String]]
    }
    var model: Model
  }

  private func learned(_ tokenizer: Tokenizer) throws -> Learned {
    try JSONDecoder().decode(Learned.self, from: tokenizer.files.tokenizer)
  }

  @Test("vocabulary and merges are those of the reference", arguments: SplitPattern.allCases)
  func sameAsReference(pattern: SplitPattern) throws {
    let expected = try JSONDecoder().decode(Learned.self, from: Fixture.data("\(pattern.rawValue).json"))
    let options = TrainingOptions(vocabularySize: 700, pattern: pattern)
    let tokenizer = try Tokenizer.train(documents: [Fixture.corpus()], options: options)
    #expect(try learned(tokenizer) == expected)
    #expect(tokenizer.vocabularySize == expected.model.vocab.count)
  }

  @Test("the number of threads and the order of documents change nothing")
  func deterministic() throws {
    let corpus = try Fixture.corpus()
    var documents = TextPieces.cut(corpus, into: 50).map { Array(corpus[$0]) }
    let expected = try Tokenizer.train(documents: documents, options: TrainingOptions(vocabularySize: 600))
    for threads in [2, 3, 8] {
      documents.reverse()
      let options = TrainingOptions(vocabularySize: 600, threads: threads)
      let tokenizer = try Tokenizer.train(documents: documents, options: options)
      #expect(tokenizer.files.tokenizer == expected.files.tokenizer)
    }
  }

  @Test("text never becomes a special token")
  func specialTokensAreNotLearned() throws {
    let options = TrainingOptions(vocabularySize: 300, specialTokens: ["<unk>", "###", "Ġ##"])
    let text = String(repeating: "### #### ## x\n", count: 100)
    let tokenizer = try Tokenizer.train(documents: [Array(text.utf8)], options: options)
    #expect(try !tokenizer.encode(text).contains { $0 < 3 })
    #expect(try tokenizer.encode(text, parseSpecialTokens: true).contains(1))
    #expect(tokenizer.decode(try tokenizer.encode(text)) == Array(text.utf8))
  }

  @Test("invalid UTF-8 and text with nothing to merge can be learned from")
  func oddDocuments() throws {
    let options = TrainingOptions(vocabularySize: 1000)
    let noise = try Tokenizer.train(documents: [Fixture.noise(count: 5_000, seed: 3)], options: options)
    #expect((267...1000).contains(noise.vocabularySize))
    let empty = try Tokenizer.train(documents: [[], [0x61]], options: options)
    #expect(empty.vocabularySize == 267)
    #expect(empty.decode(try empty.encode("abc")) == Array("abc".utf8))
  }

  @Test("options that cannot work are refused in a sentence")
  func badOptions() throws {
    for options in [
      TrainingOptions(vocabularySize: 266), TrainingOptions(vocabularySize: 300, minimumFrequency: 0),
      TrainingOptions(vocabularySize: 300, threads: 0),
      TrainingOptions(vocabularySize: 300, specialTokens: ["<s>", "<s>"]),
      TrainingOptions(vocabularySize: 300, specialTokens: ["<"]),
    ] {
      let error = #expect(throws: ForgeError.self) { try Tokenizer.train(documents: [], options: options) }
      #expect(error?.exitCode == 64)
    }
  }
}
