import Datasets
import Formats
import Foundation
import MPI
import Parallelism
import RunConfiguration
import RunStore
import Support
import Tokenizers

/// Identifies the datasets of a run by content hash, on all ranks together.
///
/// Of a dataset with a known digest, prepared or cached, only the sizes and about one chunk in a hundred are verified,
/// different ones at every start. A dataset without a digest, or one modified since it was cached, is read whole, by
/// all ranks together; so are small ones.
struct SourceIdentification {
  /// A dataset that the run reads.
  struct Dataset: Codable {
    var source: String
    var weight: Double
    var prefix: String
    var tokenizer: String?
    var status: [SourceMemory.Status] = []
    /// The expected digest; nil when unknown.
    var digest: DatasetDigest?
    /// Whether all of it has to be read.
    var isWhole = false
    /// Exclusive upper bound of the token ids, if known; 0 otherwise.
    var vocabularySize = 0
  }

  let communicator: Communicator
  let threads: Int
  let seed: UInt64
  /// The number of this start of the run, so that each start verifies other chunks.
  let start: Int
  let note: (String) -> Void

  /// Time limit of the sample, seconds: no further chunk is started after it.
  static let sampleSeconds = 8.0
  private static let worthLogging = 8 << 30
  /// Max bytes of a run's data that are read whole at every start, which takes under a second.
  private static let smallBytes = 1 << 30

  /// The number of chunks verified, over all ranks.
  private(set) var verified = 0

  init(
    communicator: Communicator, threads: Int, seed: UInt64, start: Int, note: @escaping (String) -> Void
  ) {
    (self.communicator, self.threads, self.seed, self.start, self.note) = (communicator, threads, seed, start, note)
  }

  /// Identifies datasets. Collective.
  ///
  /// - Returns: the datasets in the same order, each with its digest.
  /// - Throws: `ForgeError.badInput` when one is missing or does not match its digest.
  mutating func identify(
    _ sources: [(source: DataSource, split: DatasetSplit)], memory: SourceMemory
  ) throws -> [Dataset] {
    var plan: [UInt8] = []
    try communicator.together {
      guard communicator.isLeader else { return }
      plan = Array(try JSONEncoder().encode(describe(sources, memory)))
    }
    plan = try communicator.broadcast(plan, root: 0)
    guard var datasets = try? JSONDecoder().decode([Dataset].self, from: Data(plan)) else {
      preconditionFailure("rank 0 sent a plan that it did not make")
    }
    try communicator.together { try datasets.forEach(checkSizes) }
    try sample(datasets)
    try readWhole(&datasets)
    for index in datasets.indices where datasets[index].digest == nil {
      datasets[index].digest = datasets.first { $0.prefix == datasets[index].prefix }?.digest
    }
    return datasets
  }

  // MARK: Known digests

  private func describe(
    _ sources: [(source: DataSource, split: DatasetSplit)], _ memory: SourceMemory
  ) throws -> [Dataset] {
    var seen: Set<String> = []
    var datasets = try sources.map {
      var dataset = try describe($0.source, $0.split, memory)
      // A dataset that is configured twice is read once.
      if !seen.insert(dataset.prefix).inserted { (dataset.digest, dataset.isWhole) = (nil, false) }
      return dataset
    }
    Self.markSmall(&datasets)
    return datasets
  }

  /// Marks the datasets to be read whole when all data are small.
  private static func markSmall(_ datasets: inout [Dataset]) {
    let bytes = datasets.filter { $0.digest != nil }.flatMap(\.status).reduce(0) { $0 + $1.size }
    guard bytes <= smallBytes else { return }
    for index in datasets.indices where datasets[index].digest != nil { datasets[index].isWhole = true }
  }

  private func describe(_ source: DataSource, _ split: DatasetSplit, _ memory: SourceMemory) throws -> Dataset {
    let prefix = try source.prefix(of: split)
    var dataset = Dataset(source: source.path, weight: source.weight, prefix: prefix)
    dataset.status = try DatasetDigest.File.allCases.map { try SourceMemory.Status(prefix + $0.rawValue) }
    let remembered = memory.datasets.first { $0.prefix == prefix }
    let isUntouched = remembered.map { [$0.data, $0.index] == dataset.status } ?? false
    if isUntouched { dataset.vocabularySize = remembered?.vocabularySize ?? 0 }
    let description = try source.description()
    dataset.tokenizer = Self.tokenizer(of: source, description)
    if let root = description?[split]?.sha256 {
      guard let digest = try DatasetDigest(prefix: prefix) else {
        throw ForgeError.badInput(
          "'\(DatasetDigest.path(prefix: prefix))' is missing, which \(DatasetDescription.fileName) speaks of",
          hint: "prepare the dataset again", code: .fileNotFound)
      }
      guard digest.root == root else {
        throw ForgeError.badInput(
          "'\(prefix)' was changed: its digest is not the one that \(DatasetDescription.fileName) has",
          hint: "prepare the dataset again", code: .dataChanged)
      }
      dataset.digest = digest
      dataset.isWhole = remembered != nil && !isUntouched
    } else {
      dataset.digest = isUntouched ? remembered?.digest : nil
      dataset.isWhole = dataset.digest == nil
    }
    return dataset
  }

  /// The fingerprint of the tokenizer that encoded a dataset; nil when unknown.
  static func tokenizer(of source: DataSource, _ description: DatasetDescription?) -> String? {
    guard let recorded = description?.tokenizer else { return nil }
    // Older datasets recorded only the hash of the tokenizer file and its path.
    return recorded.fingerprint ?? source.tokenizerFolder(description).flatMap(TokenizerFingerprint.hash(folder:))
  }

  private func checkSizes(_ dataset: Dataset) throws {
    for (file, expected) in zip(DatasetDigest.File.allCases, dataset.status) {
      let path = dataset.prefix + file.rawValue
      let size = try SourceMemory.Status(path).size
      guard size == expected.size else {
        throw ForgeError.badInput(
          "'\(path)' has \(size) bytes here and \(expected.size) on rank 0's machine", code: .ranksDisagree)
      }
      guard let digest = dataset.digest, digest[file].byteCount != size else { continue }
      throw ForgeError.badInput(
        "'\(path)' has \(size) bytes, and its digest is of \(digest[file].byteCount): it is truncated, damaged or replaced",
        hint: "restore it or prepare it again", code: .fileDamaged)
    }
  }

  // MARK: Reading

  private mutating func sample(_ datasets: [Dataset]) throws {
    let key = combine(seed, UInt64(start))
    var tasks: [ChunkVerification.Task] = []
    for (number, dataset) in datasets.enumerated() where !dataset.isWhole {
      guard let digest = dataset.digest else { continue }
      tasks += ChunkVerification.sample(digest, key: combine(key, UInt64(number))).map {
        ChunkVerification.Task(prefix: dataset.prefix, chunk: $0, expected: digest[$0])
      }
    }
    // A random order, so that the time limit does not always cut off the same datasets.
    let order = Permutation(count: max(1, tasks.count), key: key)
    let deadline = ContinuousClock.now + .seconds(Self.sampleSeconds)
    let mine = stride(from: communicator.rank, to: tasks.count, by: communicator.size).map { tasks[order($0)] }
    var count = 0
    try communicator.together {
      count = try ChunkVerification.hash(mine, threads: threads, deadline: deadline).count { $0 != nil }
    }
    verified = Int(try communicator.allReduce(Int64(count), .sum))
  }

  private mutating func readWhole(_ datasets: inout [Dataset]) throws {
    let whole = datasets.indices.filter { datasets[$0].isWhole }
    let tasks = whole.map { index in
      let (dataset, status) = (datasets[index], datasets[index].status)
      let chunks =
        dataset.digest?.chunks
        ?? DatasetDigest.chunks(dataByteCount: status[0].size, indexByteCount: status[1].size)
      return chunks.map { ChunkVerification.Task(prefix: dataset.prefix, chunk: $0, expected: dataset.digest?[$0]) }
    }
    var hashes = try hash(tasks.flatMap(\.self))[...]
    verified += tasks.flatMap(\.self).count { $0.expected != nil }
    for (index, tasks) in zip(whole, tasks) {
      let found = Array(hashes.prefix(tasks.count))
      hashes = hashes.dropFirst(tasks.count)
      let status = datasets[index].status
      let dataCount = FileDigest.chunkCount(
        of: status[0].size, chunkByteCount: FileDigest.standardChunkByteCount)
      datasets[index].digest =
        datasets[index].digest
        ?? DatasetDigest(
          data: FileDigest(byteCount: status[0].size, chunks: Array(found.prefix(dataCount))),
          index: FileDigest(byteCount: status[1].size, chunks: Array(found.dropFirst(dataCount))))
    }
  }

  /// One hash over all safetensors files of a folder. Collective.
  ///
  /// - Parameter files: the files' status by name.
  func identify(weights folder: String, files: [String: SourceMemory.Status]) throws -> String {
    let names = files.keys.sorted()
    let parts = names.flatMap { name in
      let size = files[name]?.size ?? 0
      return stride(from: 0, to: size, by: FileDigest.standardChunkByteCount).map {
        ChunkVerification.Task(
          path: "\(folder)/\(name)", bytes: $0..<min($0 + FileDigest.standardChunkByteCount, size))
      }
    }
    let hashes = try hash(parts)
    let text = names.map { "\($0) \(files[$0]?.size ?? 0)\n" } + hashes.map { $0 + "\n" }
    return SHA256.hash("forge-weights 1\n" + text.joined()).hexadecimal
  }

  /// The hash of every chunk, each read by one rank.
  private func hash(_ tasks: [ChunkVerification.Task]) throws -> [String] {
    guard !tasks.isEmpty else { return [] }
    let bytes = tasks.reduce(0) { $0 + $1.bytes.count }
    if bytes >= Self.worthLogging {
      note("reading \(bytes >> 30) GiB once, to know them again; the next start will not")
    }
    let mine = Array(stride(from: communicator.rank, to: tasks.count, by: communicator.size))
    var words = [Int64](repeating: 0, count: 4 * tasks.count)
    try communicator.together {
      let found = try ChunkVerification.hash(mine.map { tasks[$0] }, threads: threads)
      for (place, digest) in zip(mine, found) {
        guard let digest = digest?.words else { continue }
        for (offset, word) in [digest.0, digest.1, digest.2, digest.3].enumerated() {
          words[4 * place + offset] = Int64(bitPattern: word)
        }
      }
    }
    // Each word is nonzero on one rank only.
    try words.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
    return tasks.indices.map { place in
      let word = (0..<4).map { UInt64(bitPattern: words[4 * place + $0]) }
      return SHA256.Digest(words: (word[0], word[1], word[2], word[3])).hexadecimal
    }
  }
}
