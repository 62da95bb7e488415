import ArgumentParser
import Commands

extension TokenizerCommand {
  struct Decode: RequestingCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the text of token ids.",
      discussion: """
        Reads JSON lines {"ids":[…]} or […], and prints the bytes of each, one after another. With --json they are one document,
        {"texts": […]}, in which bytes that are not UTF-8 are U+FFFD.

        EXAMPLES
          forge tokenizer decode --tokenizer tok < ids.jsonl
          echo '[1, 1024, 2]' | forge tokenizer decode --tokenizer tok --special-tokens
        """)

    @Option(help: "A folder with a tokenizer.json, or that file.")
    var tokenizer: String

    @Option(parsing: .upToNextOption, help: "Files with ids instead of standard input.")
    var input: [String] = []

    @Flag(help: "Print special tokens too.")
    var specialTokens = false

    @Flag(help: "Print a line end after each text.")
    var lines = false

    @OptionGroup
    var output: OutputOptions

    func request() -> DecodeTokens {
      DecodeTokens(tokenizer: tokenizer, inputs: input, specialTokens: specialTokens, lines: lines)
    }
  }
}
