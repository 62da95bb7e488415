import ArgumentParser
import Diagnostics
import Foundation
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

extension TokenizerCommand {
  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Learn a vocabulary from documents.",
      discussion: """
        The same documents give the same tokenizer, whatever the number of threads. Special tokens have
        Mistral's ids: <unk> 0, <s> 1, </s> 2, [INST] 3, [/INST] 4.

        EXAMPLES
          forge tokenizer train --input docs --output tok --vocabulary-size 32768
          forge tokenizer train --input src notes.md --output tok --pattern qwen2
        """)

    @Option(parsing: .upToNextOption, help: "Files and folders to learn from; folders with all that is below them.")
    var input: [String]

    @Option(help: "The folder to write tokenizer.json and tokenizer_config.json to.")
    var output: String

    @Option(help: "How many tokens to make, special tokens and 256 byte symbols among them.")
    var vocabularySize = 32_768

    @Option(help: "How often a pair of tokens must occur to be made one.")
    var minimumFrequency = 2

    @Option(help: "How text is cut into words.")
    var pattern = SplitPattern.llamaBPE

    @Option(help: "How many threads to use.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    func run() throws {
      let clock = ContinuousClock()
      let start = clock.now
      let options = TrainingOptions(
        vocabularySize: vocabularySize, minimumFrequency: minimumFrequency, pattern: pattern, threads: threads)
      var trainer = try TokenizerTrainer(options: options)
      try documents(at: input) { trainer.add($0) }
      guard trainer.byteCount > 0 else {
        throw ForgeError.badInput("there is no text to learn from in \(input.joined(separator: ", "))")
      }
      let tokenizer = try trainer.finish()
      let seconds = (clock.now - start) / .seconds(1)
      try tokenizer.write(toFolder: output)
      let megabytes = Double(trainer.byteCount) / 1e6
      print(
        """
        \(output): \(tokenizer.vocabularySize) tokens from \(format(megabytes, digits: 1)) MB \
        in \(format(seconds, digits: 2)) s (\(format(megabytes / seconds, digits: 1)) MB/s)
        """)
      if tokenizer.vocabularySize < vocabularySize {
        print("No more pairs occur \(minimumFrequency) times, so the vocabulary is smaller than asked.")
      }
    }

    private func format(_ value: Double, digits: Int) -> String { String(format: "%.\(digits)f", value) }
  }
}

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
      var texts = input.isEmpty ? [try readStandardInput()] : try input.map(readFile)
      if lines { texts = texts.flatMap(splitLines) }
      let prefix = beginOfSequence ? [tokenizer.beginOfSequence].compactMap { $0 } : []
      for ids in tokenizer.encode(documents: texts, parseSpecialTokens: specialTokens, threads: threads) {
        let numbers = (prefix + ids).map(String.init).joined(separator: ",")
        try writeStandardOutput(Data("{\"ids\":[\(numbers)]}\n".utf8))
      }
    }

    private func splitLines(_ text: [UInt8]) -> [[UInt8]] {
      var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Array($0) }
      if lines.last?.isEmpty == true { lines.removeLast() }
      return lines
    }
  }
}

extension TokenizerCommand {
  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the text of token ids.",
      discussion: """
        Reads JSON lines {"ids":[…]} or […], and prints the bytes of each, one after another.

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

    func run() throws {
      let tokenizer = try Tokenizer(contentsOf: tokenizer)
      let texts = input.isEmpty ? [try readStandardInput()] : try input.map(readFile)
      for text in texts {
        for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        where !line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) {
          let ids = try parse(line, number: index + 1)
          if let id = ids.first(where: { $0 < 0 || $0 >= tokenizer.vocabularySize }) {
            throw ForgeError.badInput(
              "line \(index + 1) has the id \(id), and this tokenizer's ids end at \(tokenizer.vocabularySize - 1)")
          }
          var bytes = tokenizer.decode(ids, skipSpecialTokens: !specialTokens)
          if lines { bytes.append(UInt8(ascii: "\n")) }
          try writeStandardOutput(Data(bytes))
        }
      }
    }

    private func parse(_ line: ArraySlice<UInt8>, number: Int) throws -> [Int32] {
      struct Record: Decodable { var ids: [Int32] }
      let data = Data(line)
      if let ids = try? JSONDecoder().decode([Int32].self, from: data) { return ids }
      if let record = try? JSONDecoder().decode(Record.self, from: data) { return record.ids }
      throw ForgeError.badInput("line \(number) is neither a list of ids nor an object with a list named 'ids'")
    }
  }
}

private func readStandardInput() throws -> [UInt8] {
  [UInt8](try FileHandle.standardInput.readToEnd() ?? Data())
}

private func writeStandardOutput(_ data: Data) throws {
  try FileHandle.standardOutput.write(contentsOf: data)
}
