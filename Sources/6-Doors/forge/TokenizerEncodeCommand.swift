import ArgumentParser
import Commands
import Foundation
import Tokenizers

extension TokenizerCommand {
  struct Encode: RequestingCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the token ids of text as JSON lines: {\"ids\":[…]}.",
      discussion: """
        Prints one line for standard input, or one for each input file. Any bytes can be encoded, and special tokens
        written in the text are ordinary text unless --special-tokens is given: then the ids are those of
        encode(text, add_special_tokens=False) in Hugging Face 'tokenizers'. With --json the lines are one document,
        {"sequences": [{"file": …, "line": …, "ids": […]}, …]}.

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

    @OptionGroup
    var output: OutputOptions

    func request() -> EncodeText {
      EncodeText(
        tokenizer: tokenizer, inputs: input.isEmpty ? ["-"] : input, lines: lines, beginOfSequence: beginOfSequence,
        specialTokens: specialTokens, threads: threads)
    }
  }
}
