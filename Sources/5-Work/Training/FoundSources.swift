import Checkpoints
import Datasets
import Foundation
import MPI
import ModelFiles
import Parallelism
import RunConfiguration
import RunStore
import Support
import Tokenizers

/// The identified sources of a run at a start: their content hashes, and what is cached of them for the next start.
struct FoundSources {
  private(set) var sources = RunSources()
  /// The number of verified data chunks.
  let verifiedChunks: Int
  private let datasets: [SourceIdentification.Dataset]
  private var memory: SourceMemory
  private let vocabularySize: Int

  /// Identifies the sources. Collective.
  ///
  /// - Parameter start: the number of this start of the run.
  /// - Throws: `ForgeError.badInput` when data is missing or damaged.
  init(
    _ configuration: RunConfiguration, _ directory: RunDirectory, communicator: Communicator, threads: Int, start: Int,
    note: @escaping (String) -> Void
  ) throws {
    memory = communicator.isLeader ? SourceMemory(path: directory.sources) : SourceMemory(path: "")
    vocabularySize = configuration.model.vocabularySize
    var identification = SourceIdentification(
      communicator: communicator, threads: threads, seed: configuration.run.seed, start: start, note: note)
    let training = configuration.data.train.map { (source: $0, split: DatasetSplit.train) }
    let validation = configuration.validationSources.map { (source: $0, split: DatasetSplit.validation) }
    datasets = try identification.identify(training + validation, memory: memory)
    verifiedChunks = identification.verified
    let around = try Self.documentTokens((training + validation).map(\.source), communicator)
    let found = zip(datasets, around).map {
      RunSources.Dataset(
        path: $0.source, weight: $0.weight, sha256: $0.digest?.root ?? "", tokenizer: $0.tokenizer, around: $1)
    }
    sources.train = Array(found.prefix(training.count))
    sources.validation = Array(found.dropFirst(training.count))
    if let path = configuration.pretrained {
      sources.model = try Self.model(path, &memory, identification, communicator)
    }
    sources.tokenizer = found.compactMap(\.tokenizer).first ?? sources.model?.tokenizer
  }

  /// The tokens before and after the documents of each dataset, as rank 0 reads them.
  private static func documentTokens(
    _ sources: [DataSource], _ communicator: Communicator
  ) throws -> [RunSources.DocumentTokens?] {
    var found: [UInt8] = []
    try communicator.together {
      guard communicator.isLeader else { return }
      let tokens = try sources.map { source in
        try source.description()?.tokenizer.map {
          RunSources.DocumentTokens(begin: $0.beginOfSequence, end: $0.endOfSequence)
        }
      }
      found = try Array(JSONEncoder().encode(tokens))
    }
    found = try communicator.broadcast(found, root: 0)
    guard let tokens = try? JSONDecoder().decode([RunSources.DocumentTokens?].self, from: Data(found)) else {
      preconditionFailure("rank 0 sent tokens that it did not find")
    }
    return tokens
  }

  /// Exclusive upper bounds of the token ids of datasets that need not be checked again, by path without `.bin` and
  /// `.idx`.
  var checkedVocabularies: [String: Int] {
    Dictionary(datasets.map { ($0.prefix, $0.vocabularySize) }, uniquingKeysWith: max).filter { $0.value > 0 }
  }

  /// Adds the recorded model and tokenizer where they cannot be identified any more.
  mutating func complete(from recorded: RunSources) {
    sources.model = sources.model ?? recorded.model
    sources.tokenizer = sources.tokenizer ?? recorded.tokenizer
  }

  /// The cache for the next start, valid once all ids were found to be in the vocabulary.
  var remembered: SourceMemory {
    var memory = memory
    var seen: Set<String> = []
    memory.datasets = datasets.compactMap { dataset in
      guard let digest = dataset.digest, seen.insert(dataset.prefix).inserted else { return nil }
      let known = dataset.vocabularySize > 0 ? min(dataset.vocabularySize, vocabularySize) : vocabularySize
      return SourceMemory.Dataset(
        prefix: dataset.prefix, data: dataset.status[0], index: dataset.status[1], digest: digest, vocabularySize: known
      )
    }
    return memory
  }

  /// Records the use of every prepared folder, so that replacing it warns.
  func leaveMarks(run: String) {
    let path = URL(fileURLWithPath: run).standardizedFileURL.path
    for (dataset, root) in zip(datasets, datasets.map { $0.digest?.root }) {
      guard let root, DataSource(path: dataset.source).isPreparedFolder else { continue }
      DatasetUse(run: path, sha256: root).record(in: dataset.source)
    }
  }

  // MARK: The initial model

  /// The model of `model.from`; nil when the folder is gone, which a resumed run does not need.
  private static func model(
    _ path: String, _ memory: inout SourceMemory, _ identification: SourceIdentification, _ communicator: Communicator
  ) throws -> RunSources.Model? {
    struct Seen: Codable {
      var model: RunSources.Model
      /// The weight files of a folder that must be read.
      var files: [String: SourceMemory.Status]?
    }
    var seen: [UInt8] = []
    if communicator.isLeader {
      var found: Seen?
      let tokenizer =
        ModelTokenizer.recordedFingerprint(model: path)
        ?? ModelTokenizer.folder(model: path).flatMap(TokenizerFingerprint.hash(folder:))
      if FileManager.default.fileExists(atPath: path + "/config.json") {
        let files = weightFiles(path)
        let known = memory.models.first { $0.path == path && $0.files == files }
        found = Seen(
          model: RunSources.Model(path: path, sha256: known?.sha256 ?? "", tokenizer: tokenizer),
          files: known == nil ? files : nil)
        if known == nil { memory.models = [SourceMemory.Model(path: path, files: files, sha256: "")] }
      } else if let reader = try? CheckpointReader(partsIn: path) {
        let name = (reader.path as NSString).lastPathComponent
        found = Seen(
          model: RunSources.Model(path: path, sha256: reader.root, checkpoint: name, tokenizer: tokenizer))
      }
      seen = try Array(JSONEncoder().encode(found))
    }
    seen = try communicator.broadcast(seen, root: 0)
    guard let found = try? JSONDecoder().decode(Seen?.self, from: Data(seen)) else { return nil }
    var model = found.model
    if let files = found.files {
      // A read error is reported where the weights are loaded, which a resumed run does not do.
      do { model.sha256 = try identification.identify(weights: path, files: files) } catch is ForgeError { return nil }
      if !memory.models.isEmpty { memory.models[0].sha256 = model.sha256 }
    }
    return model
  }

  private static func weightFiles(_ folder: String) -> [String: SourceMemory.Status] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return Dictionary(
      names.filter { $0.hasSuffix(".safetensors") }.compactMap { name in
        (try? SourceMemory.Status("\(folder)/\(name)")).map { (name, $0) }
      }, uniquingKeysWith: { first, _ in first })
  }
}

extension RunConfiguration {
  /// The validation datasets; empty without validation.
  var validationSources: [DataSource] {
    guard validation.every > 0 else { return [] }
    return data.validation ?? data.train.filter(\.isPreparedFolder)
  }
}
