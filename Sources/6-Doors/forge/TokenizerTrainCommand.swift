import ArgumentParser
import Corpus
import Foundation
import Support
import Tokenizers

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

    @OptionGroup
    var reading: ReadingArguments

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

    @Flag(help: "Replace a tokenizer that is in the output folder.")
    var overwrite = false

    /// The largest vocabulary that is made: ten times that of any model there is.
    private static let maximumVocabularySize = 4_194_304

    func run() throws {
      guard vocabularySize <= Self.maximumVocabularySize else {
        throw ForgeError.badInput(
          "a vocabulary of \(vocabularySize) is too large: the largest is \(Self.maximumVocabularySize)")
      }
      try PathBytes.requireUTF8(output, for: "--output")
      if !overwrite { try Tokenizer.expectNone(inFolder: output) }
      let clock = ContinuousClock()
      let start = clock.now
      let options = TrainingOptions(
        vocabularySize: vocabularySize, minimumFrequency: minimumFrequency, pattern: pattern, threads: threads)
      var trainer = try TokenizerTrainer(options: options)
      let tally = try Documents.read(at: reading.input, options: reading.options, threads: threads) { trainer.add($0) }
      guard trainer.byteCount > 0 else { throw tally.failWithoutDocuments(inputs: reading.input) }
      try Tokenizer.createFolder(output)
      let tokenizer = try trainer.finish()
      let seconds = (clock.now - start) / .seconds(1)
      try tokenizer.write(toFolder: output)
      let megabytes = Double(trainer.byteCount) / 1e6
      print(
        """
        \(PathBytes.display(output)): \(tokenizer.vocabularySize) tokens from \(format(megabytes, digits: 1)) MB \
        in \(format(seconds, digits: 2)) s (\(format(megabytes / seconds, digits: 1)) MB/s)
        """)
      print("  left out    \(tally.summary)")
      if tokenizer.vocabularySize < vocabularySize {
        print("No more pairs occur \(minimumFrequency) times, so the vocabulary is smaller than asked.")
      }
    }

    private func format(_ value: Double, digits: Int) -> String { String(format: "%.\(digits)f", value) }
  }
}
