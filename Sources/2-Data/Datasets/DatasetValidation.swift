import Formats
import Foundation
import Support

/// Validation of a dataset: reads all of it and reports every problem.
public struct DatasetValidation: Sendable {
  /// A part of a dataset and its counts.
  public struct Split: Sendable {
    /// The path without `.bin` and `.idx`.
    public var prefix: String
    public var tokens: Int
    public var documents: Int
    public var bytes: Int
    /// The root of its digest.
    public var root: String
  }

  /// The parts that could be read.
  public private(set) var splits: [Split] = []
  /// A sentence for every problem; empty for a valid dataset.
  public private(set) var problems: [String] = []

  /// - Parameters:
  ///   - path: a folder made by `forge data prepare`, or the prefix of a `.bin/.idx` pair.
  ///   - tokenizerProblem: returns what is wrong with the folder's own tokenizer, given its path and the expected
  ///     fingerprint.
  /// - Throws: `ForgeError.tryAgain` when a file cannot be read.
  public init(
    path: String, threads: Int, tokenizerProblem: (_ folder: String, _ fingerprint: String) -> String? = { _, _ in nil }
  ) throws {
    let source = DataSource(path: path)
    var description: DatasetDescription?
    do { description = try source.description() } catch { problems.append("\(error)") }
    if source.isPreparedFolder, description == nil, problems.isEmpty {
      problems.append("'\(path)/\(DatasetDescription.fileName)' is missing")
    }
    for split in source.isPreparedFolder ? DatasetSplit.allCases : [.train] {
      do {
        let vocabulary = description?.tokenizer?.vocabularySize
        try check(source.prefix(of: split), description?[split], vocabulary: vocabulary, threads)
      } catch let error as ForgeError where error.kind == .badInput { problems.append("\(error)") }
    }
    guard source.isPreparedFolder, let tokenizer = description?.tokenizer?.fingerprint else { return }
    if let problem = tokenizerProblem(path + "/tokenizer", tokenizer) { problems.append(problem) }
    do { try Self.checkRecords(path, description) } catch { problems.append("\(error)") }
  }

  private mutating func check(
    _ prefix: String, _ recorded: DatasetDescription.Split?, vocabulary: Int?, _ threads: Int
  ) throws {
    let digest = try DatasetDigest(prefix: prefix)
    if let digest, let root = recorded?.sha256, digest.root != root {
      problems.append(
        "'\(DatasetDigest.path(prefix: prefix))' is not the digest that \(DatasetDescription.fileName) has the root of")
    }
    if digest == nil, recorded?.sha256 != nil {
      problems.append("'\(DatasetDigest.path(prefix: prefix))' is missing")
    }
    let found = try read(prefix, digest, threads)
    // Only after the hashes, because a changed file explains every other problem.
    let dataset = try IndexedDataset(prefix: prefix)
    if let recorded,
      recorded.tokens ?? dataset.tokenCount != dataset.tokenCount
        || recorded.documents ?? dataset.documentCount != dataset.documentCount
    {
      problems.append(
        "'\(prefix).idx' has \(dataset.documentCount) documents and \(dataset.tokenCount) tokens, and "
          + "\(DatasetDescription.fileName) says \(recorded.documents ?? 0) and \(recorded.tokens ?? 0)")
    }
    let limit = vocabulary ?? Int(Int32.max)
    if let token = dataset.firstToken(outsideVocabulary: limit, in: 0..<dataset.tokenCount) {
      problems.append(
        "'\(prefix).bin' has token id \(token.id) at position \(token.position), which is "
          + (vocabulary.map { "not in its tokenizer's vocabulary of \($0) entries" } ?? "no id"))
    }
    splits.append(
      Split(
        prefix: prefix, tokens: dataset.tokenCount, documents: dataset.documentCount,
        bytes: found.data.byteCount + found.index.byteCount, root: found.root))
  }

  /// Hashes both files; throws at the first chunk whose hash is not the digest's.
  private mutating func read(_ prefix: String, _ digest: DatasetDigest?, _ threads: Int) throws -> DatasetDigest {
    var sizes: [Int] = []
    for file in DatasetDigest.File.allCases {
      var status = stat()
      guard stat(prefix + file.rawValue, &status) == 0 else {
        throw ForgeError.badInput(
          "cannot read '\(prefix + file.rawValue)': \(String(cString: strerror(errno)))",
          code: .system(errno, else: .fileUnreadable))
      }
      sizes.append(Int(status.st_size))
      if let digest, digest[file].byteCount != sizes[sizes.count - 1] {
        throw ForgeError.badInput(
          "'\(prefix + file.rawValue)' has \(sizes[sizes.count - 1]) bytes, and its digest is of "
            + "\(digest[file].byteCount): it is truncated, damaged or replaced", code: .fileDamaged)
      }
    }
    let size = digest?.chunkByteCount ?? FileDigest.standardChunkByteCount
    let chunks = DatasetDigest.chunks(dataByteCount: sizes[0], indexByteCount: sizes[1], chunkByteCount: size)
    let hashes = try ChunkVerification.hash(
      chunks.map { ChunkVerification.Task(prefix: prefix, chunk: $0, expected: digest?[$0]) }, threads: threads
    ).map { $0?.hexadecimal ?? "" }
    let dataCount = chunks.count { $0.file == .data }
    return DatasetDigest(
      chunkByteCount: size, data: FileDigest(byteCount: sizes[0], chunks: Array(hashes.prefix(dataCount))),
      index: FileDigest(byteCount: sizes[1], chunks: Array(hashes.dropFirst(dataCount))))
  }

  /// Checks that `documents.jsonl` accounts for every document and token.
  private static func checkRecords(_ folder: String, _ description: DatasetDescription?) throws {
    struct Record: Decodable {
      var split: String
      var tokens: [Int]
    }
    let path = "\(folder)/documents.jsonl"
    guard let contents = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      throw ForgeError.badInput("'\(path)' is missing", code: .fileNotFound)
    }
    if let hash = description?.documentsSHA256, SHA256.hash(Array(contents)).hexadecimal != hash {
      throw ForgeError.badInput(
        "'\(path)' is not the list that was written with the dataset: it was damaged or replaced", code: .fileDamaged)
    }
    var ends: [String: (documents: Int, tokens: Int)] = [:]
    for (number, line) in contents.split(separator: UInt8(ascii: "\n")).enumerated() {
      guard let record = try? JSONDecoder().decode(Record.self, from: line), record.tokens.count == 2,
        record.tokens[0] == ends[record.split]?.tokens ?? 0, record.tokens[1] >= record.tokens[0]
      else {
        throw ForgeError.badInput(
          "'\(path)' is damaged: line \(number + 1) does not follow the documents before it", code: .fileDamaged)
      }
      ends[record.split] = ((ends[record.split]?.documents ?? 0) + 1, record.tokens[1])
    }
    for split in DatasetSplit.allCases {
      let (found, recorded) = (ends[split.rawValue] ?? (0, 0), description?[split])
      guard found == (recorded?.documents ?? 0, recorded?.tokens ?? 0) else {
        throw ForgeError.badInput(
          "'\(path)' has \(found.documents) documents with \(found.tokens) tokens for \(split.rawValue), and "
            + "\(DatasetDescription.fileName) says \(recorded?.documents ?? 0) and \(recorded?.tokens ?? 0)",
          code: .fileDamaged)
      }
    }
  }
}
