import Foundation
import Support
import Testing

@testable import Tokenizers

@Suite struct TokenizerFilesTests {
  @Test("a trained tokenizer is read back as it was written")
  func trainedRoundTrip() throws {
    let tokenizer = try Tokenizer.train(
      documents: [Fixture.corpus()], options: TrainingOptions(vocabularySize: 400, pattern: .qwen2))
    try Fixture.withFolder { folder in
      try tokenizer.write(toFolder: folder + "/new/folder")
      let read = try Tokenizer(contentsOf: folder + "/new/folder")
      #expect(read.pattern == .qwen2)
      #expect(read.vocabularySize == 400)
      #expect(read.beginOfSequence == 1 && read.endOfSequence == 2)
      for example in try Fixture.cases() {
        #expect(try read.encode(example.text) == tokenizer.encode(example.text))
      }
      let data = try Data(contentsOf: URL(filePath: folder + "/new/folder/tokenizer_config.json"))
      let configuration = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      #expect(configuration["pad_token"] as? String == "<pad>")
      #expect((configuration["chat_template"] as? String)?.contains("[INST]") == true)
    }
  }

  @Test("a tokenizer from elsewhere is written byte for byte", arguments: Fixture.tokenizers)
  func foreignRoundTrip(name: String) throws {
    try Fixture.withFolder { folder in
      try Fixture.tokenizer(name).write(toFolder: folder)
      #expect(try Data(contentsOf: URL(filePath: folder + "/tokenizer.json")) == Fixture.data(name))
    }
  }

  @Test("the names of special tokens are read in both forms and from both files")
  func specialTokenNames() throws {
    try Fixture.withFolder { folder in
      try Fixture.data("qwen-shape.json").write(to: URL(filePath: folder + "/tokenizer.json"))
      try Data(#"{"bos_token": null, "eos_token": {"content": "<|im_end|>"}}"#.utf8)
        .write(to: URL(filePath: folder + "/tokenizer_config.json"))
      let tokenizer = try Tokenizer(contentsOf: folder)
      #expect(tokenizer.beginOfSequence == nil)
      #expect(tokenizer.endOfSequence == tokenizer.specialToken("<|im_end|>"))
      try Data(#"{"bos_token": "<|im_start|>"}"#.utf8)
        .write(to: URL(filePath: folder + "/special_tokens_map.json"))
      #expect(try Tokenizer(contentsOf: folder).beginOfSequence == tokenizer.specialToken("<|im_start|>"))
      try Data(#"{"bos_token": 3}"#.utf8).write(to: URL(filePath: folder + "/tokenizer_config.json"))
      #expect(throws: ForgeError.self) { try Tokenizer(contentsOf: folder) }
    }
  }

  @Test("other spellings of the known patterns are recognised, other patterns are not")
  func patterns() {
    for pattern in SplitPattern.allCases {
      #expect(SplitPattern(regularExpression: pattern.regularExpression) == pattern)
    }
    let tiktoken = #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    #expect(SplitPattern(regularExpression: tiktoken) == .gpt2)
    #expect(SplitPattern(regularExpression: #"\p{N}{1,3}"#) == nil)
  }

  @Test(
    "what this library does not do is refused in a sentence",
    arguments: [
      (#""type":"BPE""#, #""type":"Unigram""#, "Unigram"),
      (#""dropout":null"#, #""dropout":0.1"#, "dropout"),
      (#""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#, "suffix"),
      (#""normalizer":null"#, #""normalizer":{"type":"BertNormalizer"}"#, "BertNormalizer"),
      (#""add_prefix_space":false"#, #""add_prefix_space":true"#, "add_prefix_space"),
      (#"\\p{N}{1,3}"#, #"\\p{N}{1,4}"#, "splitting pattern"),
      (#""behavior":"Isolated""#, #""behavior":"MergedWithNext""#, "pre_tokenizer"),
      (#""use_regex":false"#, #""use_regex":true"#, "pre_tokenizer"),
      (#""vocab":{"#, #""words":{"#, "vocab"),
      (#""ÿ":"#, #""far":999999999,"ÿ":"#, "999999999"),
      (#"["Ġ","a"]"#, #"["Ġ","nowhere"]"#, "merges"),
      (#"["Ġ","a"]"#, #"["Ġ","a","b"]"#, "merge must name two tokens"),
      (#"{"#, "", "not a byte-level BPE tokenizer.json"),
      (#""vocab":{"#, #""vocab":{"!":7,"!":8,"#, "stands twice"),
    ])
  func unsupported(original: String, replacement: String, word: String) throws {
    let object = try JSONSerialization.jsonObject(with: Fixture.data("llama-bpe.json"))
    let text = String(
      decoding: try JSONSerialization.data(withJSONObject: object, options: .withoutEscapingSlashes), as: UTF8.self)
    #expect(text.contains(original), "\(original) is not in the fixture")
    try Fixture.withFolder { folder in
      try text.replacingOccurrences(of: original, with: replacement)
        .write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
      let error = #expect(throws: ForgeError.self) { try Tokenizer(contentsOf: folder) }
      #expect(error?.exitCode == 64)
      #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }
  }

  @Test("a missing tokenizer and a folder that cannot be written are the user's mistakes")
  func missing() throws {
    try Fixture.withFolder { folder in
      #expect(throws: ForgeError.self) { try Tokenizer(contentsOf: folder) }
      #expect(throws: ForgeError.self) { try Tokenizer(contentsOf: folder + "/nothing") }
      let file = folder + "/file"
      try Data().write(to: URL(filePath: file))
      let tokenizer = try Fixture.tokenizer("gpt2.json")
      let error = #expect(throws: ForgeError.self) { try tokenizer.write(toFolder: file) }
      #expect(error?.exitCode == 64)
    }
  }
}
