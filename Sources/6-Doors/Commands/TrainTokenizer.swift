import Corpus
import Foundation
import Support
import Tokenizers

/// A request to train a byte-level BPE tokenizer on documents.
public struct TrainTokenizer: Command {
  /// Files and folders to read; `-` is standard input.
  public var inputs: [String]
  /// The output folder of `tokenizer.json` and `tokenizer_config.json`.
  public var output: String
  /// The number of tokens, including special tokens and byte symbols.
  public var vocabularySize: Int
  /// The min number of occurrences of a pair to be merged to a token.
  public var minimumFrequency: Int
  /// The pattern of pre-tokenization, which splits text into words.
  public var pattern: SplitPattern
  public var threads: Int
  /// Whether to replace an existing tokenizer.
  public var overwrite: Bool
  public var options: ReadingOptions

  public init(
    inputs: [String], output: String, vocabularySize: Int, minimumFrequency: Int, pattern: SplitPattern, threads: Int,
    overwrite: Bool, options: ReadingOptions
  ) {
    (self.inputs, self.output, self.vocabularySize) = (inputs, output, vocabularySize)
    (self.minimumFrequency, self.pattern, self.threads) = (minimumFrequency, pattern, threads)
    (self.overwrite, self.options) = (overwrite, options)
  }

  /// The max vocabulary size accepted, 2²².
  private static let maximumVocabularySize = 4_194_304

  public func run(_ sinks: CommandSinks) throws -> TrainedTokenizer {
    guard vocabularySize <= Self.maximumVocabularySize else {
      throw ForgeError.badInput(
        "a vocabulary of \(vocabularySize) is too large: the largest is \(Self.maximumVocabularySize)",
        code: .invalidArgument)
    }
    try PathBytes.requireUTF8(output, for: "--output")
    if !overwrite { try Tokenizer.expectNone(inFolder: output) }
    let clock = ContinuousClock()
    let start = clock.now
    var trainer = try TokenizerTrainer(
      options: TrainingOptions(
        vocabularySize: vocabularySize, minimumFrequency: minimumFrequency, pattern: pattern, threads: threads))
    let tally = try Documents.read(at: inputs, options: options, threads: threads) { trainer.add($0) }
    guard trainer.byteCount > 0 else { throw tally.failWithoutDocuments(inputs: inputs) }
    try Tokenizer.createFolder(output)
    let tokenizer = try trainer.finish()
    let seconds = (clock.now - start) / .seconds(1)
    try tokenizer.write(toFolder: output)
    return TrainedTokenizer(
      output: output, vocabularySize: tokenizer.vocabularySize, requestedSize: vocabularySize,
      minimumFrequency: minimumFrequency, bytes: trainer.byteCount, tally: tally, seconds: seconds)
  }
}

/// The result of tokenizer training.
public struct TrainedTokenizer: CommandResult {
  public let output: String
  public let vocabularySize: Int
  /// The requested vocabulary size; the trained one is smaller if too few pairs occur often enough.
  public let requestedSize: Int
  let minimumFrequency: Int
  /// The total size of the documents, in bytes.
  public let bytes: Int
  public let tally: ReadingTally
  public let seconds: Double

  public var text: String {
    let megabytes = Double(bytes) / 1e6
    let isSmaller = vocabularySize < requestedSize
    return """
      \(PathBytes.display(output)): \(vocabularySize) tokens from \(Words.fixed(megabytes, digits: 1)) MB \
      in \(Words.fixed(seconds, digits: 2)) s (\(Words.fixed(megabytes / seconds, digits: 1)) MB/s)
        left out    \(tally.summary)

      """
        + (isSmaller
          ? "No more pairs occur \(minimumFrequency) times, so the vocabulary is smaller than asked.\n" : "")
  }

  public var json: JSONLine {
    .object([
      ("output", .path(output)), ("vocabulary_size", .integer(vocabularySize)),
      ("requested_size", .integer(requestedSize)),
      ("bytes", .integer(bytes)), ("left_out", tally.json), ("seconds", .number(seconds)),
    ])
  }
}
