import ArgumentParser
import Corpus
import Datasets
import Foundation
import Support

struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Make datasets to train on, and check them.",
    subcommands: [Prepare.self, Validate.self])
}

extension DataCommand {
  struct Prepare: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Turn folders of documents into a dataset of tokens.",
      discussion: """
        Reads text, Markdown, HTML, Jupyter notebooks (without outputs), JSON Lines (a
        document a line) and source code, gzipped or not, from files, pipes and all
        folders below the inputs. Exact duplicates are dropped, and so are binary files,
        outputs of forge and what .gitignore files or --exclude name. The output folder
        holds Megatron-LM indexed datasets (train.bin/.idx and validation.bin/.idx),
        documents.jsonl (each document's id, path and place among the tokens),
        skipped.jsonl (what was left out, and why) and dataset.json. The same inputs give
        the same bytes with any number of threads.

        EXAMPLES
          forge data prepare --input docs/ --output data/ --tokenizer tok/
          forge data prepare --input wiki/ src/ --output data/ --tokenizer tok/ \\
            --held-out 0.05 --threads 8 --exclude '*.min.js' build/
          zcat dump.jsonl.gz | forge data prepare --input - --output data/ --tokenizer tok/
        """)

    @OptionGroup
    var reading: ReadingArguments

    @Option(help: "The folder to write; it must be empty or not exist.")
    var output: String

    @Option(help: "A folder with a tokenizer.json, or that file.")
    var tokenizer: String

    @Option(help: "The share of documents held out for validation.")
    var heldOut = 0.02

    @Option(help: "How many threads to use.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    @Flag(help: "Replace the dataset in an output folder that is not empty.")
    var overwrite = false

    func run() throws {
      try PathBytes.requireUTF8(tokenizer, for: "--tokenizer")
      let preparation = DataPreparation(
        inputs: reading.input, output: output, tokenizer: tokenizer, heldOut: heldOut, threads: threads,
        overwrite: overwrite, options: reading.options)
      // Nobody is hindered: what a run has open stays as it was until it ends.
      for run in overwrite ? DatasetUse.runs(of: output) : [] {
        let place = PathBytes.display(output)
        FileHandle.standardError.write(
          Data("forge: warning: the run in '\(run)' uses '\(place)' and cannot go on with other data\n".utf8))
      }
      let clock = ContinuousClock()
      let start = clock.now
      let (dataset, tally) = try preparation.run()
      let seconds = (clock.now - start) / .seconds(1)
      print(summary(of: dataset, tally: tally, seconds: seconds))
      if dataset.tokenizer.endOfSequence == nil { print(Self.noEndOfDocument) }
    }

    private static let noEndOfDocument = """
      The tokenizer's files name no end-of-document token, so nothing marks where a document ends: name one as \
      "eos_token" in the tokenizer_config.json beside its tokenizer.json.
      """

    private func summary(of dataset: PreparedDataset, tally: ReadingTally, seconds: Double) -> String {
      let megabytes = Double(dataset.train.bytes + dataset.validation.bytes) / 1e6
      return """
        \(PathBytes.display(output)): \(dataset.train.documents + dataset.validation.documents) documents, \
        \(String(format: "%.1f", megabytes)) MB of text in \(String(format: "%.2f", seconds)) s \
        (\(String(format: "%.1f", megabytes / seconds)) MB/s)
          train       \(dataset.train.tokens) tokens in \(dataset.train.documents) documents
          validation  \(dataset.validation.tokens) tokens in \(dataset.validation.documents) documents
          left out    \(tally.summary)
        """
    }
  }
}
