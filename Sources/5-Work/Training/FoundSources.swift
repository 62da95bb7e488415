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

/// The sources of a run as they are found at a start: what they hold, and what is remembered of them for the next one.
struct FoundSources {
  private(set) var sources = RunSources()
  /// Chunks of data that were verified.
  let verifiedChunks: Int
  private let datasets: [SourceIdentification.Dataset]
  private var memory: SourceMemory
  private let vocabularySize: Int

  /// Collective.
  ///
  /// - Parameter start: counts the starts of the run.
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

  /// What stands around the documents of each dataset, as rank 0 reads it.
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

  /// Of each dataset whose ids need not be looked at again, by its path without `.bin` and `.idx`: all are below this.
  var checkedVocabularies: [String: Int] {
    Dictionary(datasets.map { ($0.prefix, $0.vocabularySize) }, uniquingKeysWith: max).filter { $0.value > 0 }
  }

  /// Takes over from the checkpoint what cannot be seen any more.
  mutating func complete(from recorded: RunSources) {
    sources.model = sources.model ?? recorded.model
    sources.tokenizer = sources.tokenizer ?? recorded.tokenizer
  }

  /// What the next start need not read again, once all ids were found to be in the vocabulary.
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

  /// Leaves a line in every prepared folder, so that replacing it warns.
  func leaveMarks(run: String) {
    let path = URL(fileURLWithPath: run).standardizedFileURL.path
    for (dataset, root) in zip(datasets, datasets.map { $0.digest?.root }) {
      guard let root, DataSource(path: dataset.source).isPreparedFolder else { continue }
      DatasetUse(run: path, sha256: root).record(in: dataset.source)
    }
  }

  // MARK: The model to start from

  /// nil where the folder is gone, which a run that continues does not need.
  private static func model(
    _ path: String, _ memory: inout SourceMemory, _ identification: SourceIdentification, _ communicator: Communicator
  ) throws -> RunSources.Model? {
    struct Seen: Codable {
      var model: RunSources.Model
      /// Of a folder whose weights have to be read.
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
      // What cannot be read is told by whoever needs it: a run that continues does not.
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
  /// The datasets that the run is validated on; none when it is not.
  var validationSources: [DataSource] {
    guard validation.every > 0 else { return [] }
    return data.validation ?? data.train.filter(\.isPreparedFolder)
  }
}
