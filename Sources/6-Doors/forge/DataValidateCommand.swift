import ArgumentParser
import Datasets
import Foundation
import Support
import Tokenizers

extension DataCommand {
  struct Validate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Read all of a dataset and say what is wrong with it.",
      discussion: """
        Compares every byte with the dataset's digest and its parts with each other, and looks at every token id. For the
        prefix of a .bin/.idx pair, which has no digest, the two files are compared with each other. The SHA-256 that is
        printed is the dataset's identity: by it a run knows its data, wherever it stands. Exit code 64 when anything is
        wrong.

        EXAMPLES
          forge data validate data/
          forge data validate /mnt/corpus/part-1_text_document data/ --threads 16
        """)

    @Argument(help: "Folders made by 'forge data prepare', or prefixes of .bin/.idx pairs.")
    var datasets: [String]

    @Option(help: "How many threads to read with.")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    func validate() throws {
      try CheckpointCommand.check(threads: threads)
    }

    func run() throws {
      var (wrong, problems) = (0, [String]())
      for dataset in datasets {
        let started = ContinuousClock.now
        let found = try DatasetValidation(path: dataset, threads: threads, tokenizerProblem: Self.problem)
        let seconds = (ContinuousClock.now - started) / .seconds(1)
        if datasets.count > 1 || found.problems.count > 1 {
          try StandardOutput.write(found.problems.map { $0 + "\n" }.joined())
        }
        guard found.problems.isEmpty else {
          wrong += 1
          problems += found.problems
          continue
        }
        let bytes = found.splits.reduce(0) { $0 + $1.bytes }
        let size = CheckpointCommand.size(bytes)
        try StandardOutput.write("\(dataset): sound, \(size) in \(String(format: "%.2f s\n", seconds))")
        for part in found.splits {
          try StandardOutput.write(
            "  \(part.prefix): \(part.tokens) tokens in \(part.documents) documents, SHA-256 \(part.root)\n")
        }
      }
      guard wrong == 0 else {
        let datasets = datasets.count == 1 ? "" : "\(wrong) of \(datasets.count) datasets are damaged: "
        throw ForgeError.badInput(
          datasets + problems[0] + (problems.count > 1 ? "; \(problems.count - 1) more, as listed" : ""))
      }
    }

    private static func problem(_ folder: String, _ fingerprint: String) -> String? {
      switch TokenizerFingerprint.hash(folder: folder) {
      case nil: "'\(folder)/tokenizer.json' is missing: the copy of the tokenizer that made the dataset"
      case fingerprint: nil
      default: "'\(folder)/tokenizer.json' is not the tokenizer that made the dataset"
      }
    }
  }
}
