import ArgumentParser
import Datasets
import Documents
import Foundation

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
        Reads text, Markdown, reStructuredText, HTML and source code, gzipped or not,
        from files and all folders below the inputs. Binary files are skipped and
        exact duplicates dropped. The output folder holds Megatron-LM indexed datasets
        (train.bin/.idx and validation.bin/.idx), documents.jsonl (each document's id,
        path and place among the tokens) and dataset.json. The same inputs give the
        same bytes with any number of threads.

        EXAMPLES
          forge data prepare --input docs/ --output data/ --tokenizer tok/
          forge data prepare --input wiki/ src/ --output data/ --tokenizer tok/ \\
            --held-out 0.05 --threads 8
        """)

    @Option(parsing: .upToNextOption, help: "Files and folders to read; folders with all that is below them.")
    var input: [String]

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
      let preparation = DataPreparation(
        inputs: input, output: output, tokenizer: tokenizer, heldOut: heldOut, threads: threads, overwrite: overwrite)
      // Nobody is hindered: what a run has open stays as it was until it ends.
      for run in overwrite ? DatasetUse.runs(of: output) : [] {
        FileHandle.standardError.write(
          Data("forge: warning: the run in '\(run)' uses '\(output)' and cannot go on with other data\n".utf8))
      }
      let clock = ContinuousClock()
      let start = clock.now
      let dataset = try preparation.run()
      let seconds = (clock.now - start) / .seconds(1)
      print(summary(of: dataset, seconds: seconds))
      if dataset.tokenizer.endOfSequence == nil { print(Self.noEndOfDocument) }
    }

    private static let noEndOfDocument = """
      The tokenizer's files name no end-of-document token, so nothing marks where a document ends: name one as \
      "eos_token" in the tokenizer_config.json beside its tokenizer.json.
      """

    private func summary(of dataset: PreparedDataset, seconds: Double) -> String {
      let megabytes = Double(dataset.train.bytes + dataset.validation.bytes) / 1e6
      let skipped = dataset.skipped.sorted { $0.key.rawValue < $1.key.rawValue }
        .map { "\($0.value) \($0.key.rawValue.replacingOccurrences(of: "_", with: " "))" }
      return """
        \(output): \(dataset.train.documents + dataset.validation.documents) documents, \
        \(String(format: "%.1f", megabytes)) MB of text in \(String(format: "%.2f", seconds)) s \
        (\(String(format: "%.1f", megabytes / seconds)) MB/s)
          train       \(dataset.train.tokens) tokens in \(dataset.train.documents) documents
          validation  \(dataset.validation.tokens) tokens in \(dataset.validation.documents) documents
          left out    \((["\(dataset.duplicates) duplicates"] + skipped).joined(separator: ", "))
        """
    }
  }
}
