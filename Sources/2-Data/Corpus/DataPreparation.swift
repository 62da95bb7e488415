import Datasets
import DocumentText
import Formats
import Foundation
import Support
import Tokenizers

/// Data preparation: tokenizes documents into a training dataset, the folder that `forge data prepare` writes.
///
/// Documents are read, extracted and tokenized on several threads and written in order, so the same inputs give the
/// same bytes with any number of threads.
public struct DataPreparation: Sendable {
  /// Files and folders.
  public var inputs: [String]
  /// The folder to write.
  public var output: String
  /// A folder with `tokenizer.json`, or that file.
  public var tokenizer: String
  /// The share of documents held out for validation, at least 0 and less than 1.
  public var heldOut: Double
  public var threads: Int
  /// Whether an output folder that is not empty may be replaced.
  public var overwrite: Bool
  /// Which files are read, and how.
  public var options: ReadingOptions

  public init(
    inputs: [String], output: String, tokenizer: String, heldOut: Double = 0.02, threads: Int, overwrite: Bool = false,
    options: ReadingOptions = ReadingOptions()
  ) {
    self.inputs = inputs
    self.output = output
    self.tokenizer = tokenizer
    self.heldOut = heldOut
    self.threads = threads
    self.overwrite = overwrite
    self.options = options
  }

  /// Writes the dataset.
  ///
  /// Throws `badInput` when an input does not exist, there is no document, the tokenizer cannot encode one, strict
  /// options reject a loss, or the output folder cannot be written or would be overwritten; `tryAgain` when the disk is
  /// full or fails. Nothing is left behind, unless moving the complete files to the output folder fails.
  /// - Returns: the dataset's description, and what was skipped.
  public func run() throws -> (dataset: PreparedDataset, tally: ReadingTally) {
    guard (0..<1).contains(heldOut) else {
      throw ForgeError.badInput(
        "the held-out share must be at least 0 and less than 1, not \(heldOut)", code: .invalidArgument)
    }
    _ = try options.extractor(threads: threads)
    let tokenizer = try Tokenizer(contentsOf: tokenizer)
    let folder = try OutputFolder(path: output, overwrite: overwrite)
    var writer = try DatasetWriter(folder: folder.partialPath, description: description(of: tokenizer))
    var tally = ReadingTally()
    let outcomes = try Documents.outcomes(
      at: inputs, excluding: identities(of: [folder.path, folder.partialPath]), options: options, threads: threads
    ) { document in
      TokenizedDocument(document, tokenizer: tokenizer, heldOut: heldOut)
    }
    for outcome in outcomes {
      try tally.add(outcome, options: options)
      if case .document(let document, _) = outcome {
        tally.add(document.replacements)
        try tally.check(document.path, replacements: document.replacements, options: options)
      }
      try writer.append(outcome)
    }
    guard writer.description.train.documents + writer.description.validation.documents > 0 else {
      throw tally.failWithoutDocuments(inputs: inputs)
    }
    try tokenizer.write(toFolder: folder.partialPath + "/" + PreparedDataset.tokenizerFolder)
    try writer.finish(tally: tally)
    try folder.commit()
    return (writer.description, tally)
  }

  private func description(of tokenizer: Tokenizer) throws -> PreparedDataset {
    let isFile = self.tokenizer.hasSuffix(".json")
    let file = try MappedFile(path: isFile ? self.tokenizer : self.tokenizer + "/tokenizer.json")
    var hash = SHA256()
    hash.update(file.bytes)
    return PreparedDataset(
      inputs: inputs.map(PathBytes.display),
      tokenizer: .init(
        path: PathBytes.display(self.tokenizer), sha256: hash.finalize().hexadecimal,
        fingerprint: TokenizerFingerprint.hash(json: tokenizer.json),
        vocabularySize: tokenizer.vocabularySize, beginOfSequence: tokenizer.beginOfSequence,
        endOfSequence: tokenizer.endOfSequence),
      heldOut: heldOut)
  }

  /// Excludes the output from the inputs when it lies within one.
  private func identities(of paths: [String]) -> Set<FileIdentity> {
    Set(paths.compactMap { RawPath($0).status().map(FileIdentity.init) })
  }
}

/// A tokenized document.
struct TokenizedDocument: Sendable {
  let id: DocumentID
  let path: RawPath
  let byteCount: Int
  let replacements: Int
  let split: DatasetSplit
  /// The text's tokens between the tokenizer's begin- and end-of-sequence tokens; a failure when it cannot encode the
  /// text.
  let tokens: Result<[Int32], any Error>

  init(_ document: Document, tokenizer: Tokenizer, heldOut: Double) {
    id = document.id
    path = document.path
    byteCount = document.bytes.count
    replacements = document.replacements
    split = document.id.isHeldOut(share: heldOut) ? .validation : .train
    tokens = Result {
      let text = try tokenizer.encode(document.bytes, named: document.path.string)
      return [tokenizer.beginOfSequence].compactMap(\.self) + text + [tokenizer.endOfSequence].compactMap(\.self)
    }
  }
}

/// The writer of a dataset's files.
struct DatasetWriter {
  private(set) var description: PreparedDataset
  private let folder: String
  private let train: IndexedDatasetWriter
  private let validation: IndexedDatasetWriter
  private let records: OutputFile
  private let skipped: OutputFile
  /// One chunk, however long: plain SHA-256.
  private let recordsHasher = ChunkHasher(chunkByteCount: .max)
  private let encoder = JSONEncoder()

  init(folder: String, description: PreparedDataset) throws {
    self.folder = folder
    self.description = description
    let tokenType = TokenType.smallest(forVocabularySize: description.tokenizer.vocabularySize)
    train = try IndexedDatasetWriter(prefix: "\(folder)/\(DatasetSplit.train.rawValue)", tokenType: tokenType)
    validation = try IndexedDatasetWriter(prefix: "\(folder)/\(DatasetSplit.validation.rawValue)", tokenType: tokenType)
    records = try OutputFile(path: "\(folder)/\(DocumentRecord.fileName)")
    skipped = try OutputFile(path: "\(folder)/\(SkippedRecord.fileName)")
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  }

  mutating func append(_ outcome: Documents.Outcome<TokenizedDocument>) throws {
    switch outcome {
    case .duplicate: break
    case .skipped(let file):
      try skipped.append(
        encoder.encode(
          SkippedRecord(path: file.path.string, pathBytes: file.path.base64, line: file.line, reason: file.reason))
          + [UInt8(ascii: "\n")])
    case .document(let document, let line):
      switch document.split {
      case .train: try append(document, line: line, to: train, counting: &description.train)
      case .validation: try append(document, line: line, to: validation, counting: &description.validation)
      }
    }
  }

  /// Completes the files, and the description with the counts of what was skipped and the parts' content hashes.
  mutating func finish(tally: ReadingTally) throws {
    description.duplicates = tally.duplicates
    description.skipped = tally.skipped
    description.replacements = tally.replacements
    for (split, writer) in [(DatasetSplit.train, train), (.validation, validation)] {
      let digest = try writer.finish()
      try digest.write(prefix: "\(folder)/\(split.rawValue)")
      switch split {
      case .train: description.train.sha256 = digest.root
      case .validation: description.validation.sha256 = digest.root
      }
    }
    try skipped.commit()
    try records.commit()
    description.documentsSHA256 = recordsHasher.finalize().chunks.first
    encoder.outputFormatting.insert(.prettyPrinted)
    let file = try OutputFile(path: "\(folder)/\(PreparedDataset.fileName)")
    try file.append(encoder.encode(description) + [UInt8(ascii: "\n")])
    try file.commit()
  }

  private func append(
    _ document: TokenizedDocument, line: Int?, to writer: IndexedDatasetWriter,
    counting split: inout PreparedDataset.Split
  ) throws {
    let range = try document.tokens.get().withUnsafeBufferPointer { try writer.append(document: $0) }
    split.documents += 1
    split.tokens += range.count
    split.bytes += document.byteCount
    let record = DocumentRecord(
      id: document.id.description, path: document.path.string, pathBytes: document.path.base64, line: line,
      split: document.split.rawValue, tokens: [range.lowerBound, range.upperBound], bytes: document.byteCount,
      replacements: document.replacements > 0 ? document.replacements : nil)
    let text = try encoder.encode(record) + [UInt8(ascii: "\n")]
    text.withUnsafeBytes { recordsHasher.update($0) }
    try records.append(text)
  }
}

extension RawPath {
  /// All bytes in base64 when they are not UTF-8; else nil.
  fileprivate var base64: String? { isLossy ? Data(bytes).base64EncodedString() : nil }
}
