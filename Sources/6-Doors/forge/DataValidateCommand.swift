import ArgumentParser
import Commands
import Foundation

extension DataCommand {
  struct Validate: RequestingCommand {
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

    @OptionGroup
    var output: OutputOptions

    func request() -> ValidateData { ValidateData(datasets: datasets, threads: threads) }
  }
}
