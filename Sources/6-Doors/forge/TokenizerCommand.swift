import ArgumentParser
import Tokenizers

struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer",
    abstract: "Train a byte-level BPE tokenizer, and turn text into token ids and back.",
    discussion: """
      A tokenizer is a folder with a Hugging Face tokenizer.json: one trained here loads in
      transformers.AutoTokenizer, and those of Llama 3, Qwen and GPT-2 work here.

      EXAMPLES
        forge tokenizer train --input docs --output tok --vocabulary-size 32768
        echo 'Hello, world' | forge tokenizer encode --tokenizer tok
        forge tokenizer encode --tokenizer tok --input a.txt b.txt > ids.jsonl
        forge tokenizer decode --tokenizer tok < ids.jsonl
      """,
    subcommands: [Train.self, Encode.self, Decode.self])
}

extension SplitPattern: ExpressibleByArgument {}
