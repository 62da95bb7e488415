import ArgumentParser
import Commands
import Foundation
import Tokenizers

extension TokenizerCommand {
  struct Train: RequestingCommand {
    static let configuration = CommandConfiguration(
      abstract: "Learn a vocabulary from documents.",
      discussion: """
        The same documents give the same tokenizer, whatever the number of threads. Special tokens have
        Mistral's ids: <unk> 0, <s> 1, </s> 2, [INST] 3, [/INST] 4.

        EXAMPLES
          forge tokenizer train --input docs --output tok --vocabulary-size 32768
          forge tokenizer train --input src notes.md --output tok --pattern qwen2
        """)

    @OptionGroup
    var reading: ReadingArguments

    @Option(name: .customLong("output"), help: "The folder to write tokenizer.json and tokenizer_config.json to.")
    var folder: String

    @Option(help: "How many tokens to make, special tokens and 256 byte symbols among them.")
    var vocabularySize = 32_768

    @Option(help: "How often a pair of tokens must occur to be made one.")
    var minimumFrequency = 2

    @Option(help: "How text is cut into words.")
    var pattern = SplitPattern.llamaBPE

    @Option(help: "How many threads to use.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    @Flag(help: "Replace a tokenizer that is in the output folder.")
    var overwrite = false

    @OptionGroup
    var output: OutputOptions

    func request() -> TrainTokenizer {
      TrainTokenizer(
        inputs: reading.input, output: folder, vocabularySize: vocabularySize, minimumFrequency: minimumFrequency,
        pattern: pattern, threads: threads, overwrite: overwrite, options: reading.options)
    }
  }
}
