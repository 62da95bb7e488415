import ArgumentParser
import Foundation
import Tokenizers

extension TokenizerCommand {
  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the token ids of text as JSON lines: {\"ids\":[…]}.",
      discussion: """
        Prints one line for standard input, or one for each input file. Any bytes can be encoded, and special tokens
        written in the text are ordinary text unless --special-tokens is given.

        EXAMPLES
          echo 'Hello, world' | forge tokenizer encode --tokenizer tok
          forge tokenizer encode --tokenizer tok --input a.txt b.txt > ids.jsonl
          forge tokenizer encode --tokenizer tok --lines < sentences.txt
        """)

    @Option(help: "A folder with a tokenizer.json, or that file.")
    var tokenizer: String

    @Option(parsing: .upToNextOption, help: "Files to encode instead of standard input.")
    var input: [String] = []

    @Flag(help: "Encode each line of the text by itself, without its line end.")
    var lines = false

    @Flag(help: "Begin with the token that opens a document, such as <s>.")
    var beginOfSequence = false

    @Flag(help: "Read special tokens written in the text, such as </s>, as these tokens.")
    var specialTokens = false

    @Option(help: "How many threads to use.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    func run() throws {
      let tokenizer = try Tokenizer(contentsOf: tokenizer)
      var texts = input.isEmpty ? [try TokenizerCommand.readStandardInput()] : try input.map(TokenizerCommand.readFile)
      if lines { texts = texts.flatMap(splitLines) }
      let prefix = beginOfSequence ? [tokenizer.beginOfSequence].compactMap { $0 } : []
      for ids in tokenizer.encode(documents: texts, parseSpecialTokens: specialTokens, threads: threads) {
        let numbers = (prefix + ids).map(String.init).joined(separator: ",")
        try TokenizerCommand.writeStandardOutput(Data("{\"ids\":[\(numbers)]}\n".utf8))
      }
    }

    private func splitLines(_ text: [UInt8]) -> [[UInt8]] {
      var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Array($0) }
      if lines.last?.isEmpty == true { lines.removeLast() }
      return lines
    }
  }
}
