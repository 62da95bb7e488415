import Corpus
import Datasets
import Support

/// A request to tokenize folders of documents to a dataset.
public struct PrepareData: Command {
  /// Files and folders to read; `-` is standard input.
  public var inputs: [String]
  /// The output folder.
  public var output: String
  /// The path of a tokenizer: a folder with a `tokenizer.json`, or that file.
  public var tokenizer: String
  /// The fraction of documents held out for validation.
  public var heldOut: Double
  public var threads: Int
  /// Whether to replace an existing dataset.
  public var overwrite: Bool
  public var options: ReadingOptions

  public init(
    inputs: [String], output: String, tokenizer: String, heldOut: Double, threads: Int, overwrite: Bool,
    options: ReadingOptions
  ) {
    (self.inputs, self.output, self.tokenizer, self.heldOut) = (inputs, output, tokenizer, heldOut)
    (self.threads, self.overwrite, self.options) = (threads, overwrite, options)
  }

  public func run(_ sinks: CommandSinks) throws -> PreparedData {
    try PathBytes.requireUTF8(tokenizer, for: "--tokenizer")
    let preparation = DataPreparation(
      inputs: inputs, output: output, tokenizer: tokenizer, heldOut: heldOut, threads: threads, overwrite: overwrite,
      options: options)
    // A warning, not an error: files that a run has open keep their contents until it ends.
    for run in overwrite ? DatasetUse.runs(of: output) : [] {
      sinks.note("warning: the run in '\(run)' uses '\(PathBytes.display(output))' and cannot go on with other data")
    }
    let clock = ContinuousClock()
    let start = clock.now
    let (dataset, tally) = try preparation.run()
    return PreparedData(output: output, dataset: dataset, tally: tally, seconds: (clock.now - start) / .seconds(1))
  }
}

/// The result of data preparation: the dataset, and counts of the documents read and left out.
public struct PreparedData: CommandResult {
  public let output: String
  public let dataset: PreparedDataset
  public let tally: ReadingTally
  public let seconds: Double

  private var bytes: Int { dataset.train.bytes + dataset.validation.bytes }

  public var text: String {
    let megabytes = Double(bytes) / 1e6
    let noEnd = """
      The tokenizer's files name no end-of-document token, so nothing marks where a document ends: name one as \
      "eos_token" in the tokenizer_config.json beside its tokenizer.json.

      """
    return """
      \(PathBytes.display(output)): \(dataset.train.documents + dataset.validation.documents) documents, \
      \(Words.fixed(megabytes, digits: 1)) MB of text in \(Words.fixed(seconds, digits: 2)) s \
      (\(Words.fixed(megabytes / seconds, digits: 1)) MB/s)
        train       \(dataset.train.tokens) tokens in \(dataset.train.documents) documents
        validation  \(dataset.validation.tokens) tokens in \(dataset.validation.documents) documents
        left out    \(tally.summary)

      """ + (dataset.tokenizer.endOfSequence == nil ? noEnd : "")
  }

  public var json: JSONLine {
    func part(_ part: PreparedDataset.Split) -> JSONLine {
      .object([
        ("documents", .integer(part.documents)), ("tokens", .integer(part.tokens)), ("bytes", .integer(part.bytes)),
        ("sha256", .optional(part.sha256)),
      ])
    }
    return .object([
      ("output", .path(output)), ("train", part(dataset.train)), ("validation", part(dataset.validation)),
      ("left_out", tally.json), ("marks_ends", .boolean(dataset.tokenizer.endOfSequence != nil)),
      ("seconds", .number(seconds)),
    ])
  }
}

extension ReadingTally {
  /// Counts of skipped documents by reason, duplicates and replaced bytes.
  var json: JSONLine {
    let reasons = skipped.sorted { $0.key.rawValue < $1.key.rawValue }
    return .object([
      ("duplicates", .integer(duplicates)),
      ("skipped", .object(reasons.map { ($0.key.rawValue, .integer($0.value)) })),
      ("replaced_bytes", .integer(replacements)), ("damaged_documents", .integer(damagedDocuments)),
    ])
  }
}
