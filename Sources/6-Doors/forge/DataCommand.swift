import ArgumentParser
import Commands
import Foundation

struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Make datasets to train on, and check them.",
    subcommands: [Prepare.self, Validate.self])
}

extension DataCommand {
  struct Prepare: RequestingCommand {
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

    @Option(name: .customLong("output"), help: "The folder to write; it must be empty or not exist.")
    var folder: String

    @Option(help: "A folder with a tokenizer.json, or that file.")
    var tokenizer: String

    @Option(help: "The share of documents held out for validation.")
    var heldOut = 0.02

    @Option(help: "How many threads to use.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    @Flag(help: "Replace the dataset in an output folder that is not empty.")
    var overwrite = false

    @OptionGroup
    var output: OutputOptions

    func request() -> PrepareData {
      PrepareData(
        inputs: reading.input, output: folder, tokenizer: tokenizer, heldOut: heldOut, threads: threads,
        overwrite: overwrite, options: reading.options)
    }
  }
}
