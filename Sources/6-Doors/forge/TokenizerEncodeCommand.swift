import ArgumentParser
import Foundation
import Tokenizers

extension TokenizerCommand {
  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the token ids of text as JSON lines: {\"ids\":[…]}.",
      discussion: """
        Prints one line for standard input, or one for each input file. Any bytes can be encoded, and special tokens
        written in the text are ordinary text unless --special-tokens is given: then the ids are those of
        encode(text, add_special_tokens=False) in Hugging Face 'tokenizers'.

        EXAMPLES
          echo 'Hello, world' | forge tokenizer encode --tokenizer tok
          forge tokenizer encode --tokenizer tok --input a.txt b.txt > ids.jsonl
          forge tokenizer encode --tokenizer tok --lines < sentences.txt
        """)

    @Option(help: "A folder with a tokenizer.json, or that file.")
    var tokenizer: String

    @Option(parsing: .upToNextOption, help: "Files to encode instead of standard input (-).")
    var input: [String] = []

    @Flag(help: "Encode each line of the text by itself, without its line end (\\n or \\r\\n).")
    var lines = false

    @Flag(help: "Begin with the token that opens a document, such as <s>, if documents begin with one.")
    var beginOfSequence = false

    @Flag(help: "Read special tokens written in the text, such as </s>, as these tokens.")
    var specialTokens = false

    @Option(help: "How many threads to use.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    func validate() throws {
      guard (1...TrainingOptions.maxThreads).contains(threads) else {
        throw ValidationError("--threads must be between 1 and \(TrainingOptions.maxThreads), not \(threads).")
      }
    }

    func run() throws {
      let tokenizer = try Tokenizer(contentsOf: tokenizer)
      var texts: [(bytes: [UInt8], file: String, line: Int?)] = []
      for file in input.isEmpty ? ["-"] : input {
        let bytes = try TokenizerCommand.readFile(file)
        if lines {
          texts += splitLines(bytes).enumerated().map { ($1, file, $0 + 1) }
        } else {
          texts.append((bytes, file, nil))
        }
      }
      let encoded = try tokenizer.encode(
        documents: texts.map(\.bytes), parseSpecialTokens: specialTokens, threads: threads
      ) { document, line in
        let text = texts[document]
        return "line \(text.line ?? line) of \(TokenizerCommand.name(of: text.file))"
      }
      let prefix = beginOfSequence ? [tokenizer.beginOfSequence].compactMap { $0 } : []
      for ids in encoded {
        let numbers = (prefix + ids).map(String.init).joined(separator: ",")
        try TokenizerCommand.writeStandardOutput(Data("{\"ids\":[\(numbers)]}\n".utf8))
      }
    }

    /// The lines of a text without their ends, `\n` or `\r\n`.
    private func splitLines(_ text: [UInt8]) -> [[UInt8]] {
      var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      if lines.last?.isEmpty == true { lines.removeLast() }
      return lines.map { $0.last == UInt8(ascii: "\r") ? Array($0.dropLast()) : Array($0) }
    }
  }
}
