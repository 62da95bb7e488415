/// BPE training of a tokenizer on documents that are added one by one.
///
/// Only the distinct words of the documents are kept, so a corpus may be larger than memory.
public struct TokenizerTrainer {
  private let options: TrainingOptions
  /// The words seen by each thread.
  private var counters: [WordCounter]
  /// Documents not counted yet.
  private var pending: [[UInt8]] = []
  private var pendingBytes = 0
  /// How many bytes have been added.
  public private(set) var byteCount = 0

  /// How much text is buffered before the threads count its words.
  private static let batchBytes = 32 << 20

  /// - Throws: `ForgeError.badInput` when the options contradict each other.
  public init(options: TrainingOptions) throws {
    try options.validate()
    self.options = options
    counters = Array(repeating: WordCounter(), count: options.threads)
  }

  /// Adds a document, which need not be valid UTF-8.
  public mutating func add(_ document: [UInt8]) {
    pending.append(document)
    pendingBytes += document.count
    byteCount += document.count
    if pendingBytes >= Self.batchBytes { countPending() }
  }

  /// Learns the merges from everything added.
  public mutating func finish() throws -> Tokenizer {
    countPending()
    var words = WordCounter()
    swap(&words, &counters[0])
    for counter in counters.dropFirst() { words.add(counter) }
    counters = [WordCounter](repeating: WordCounter(), count: options.threads)
    var learner = MergeLearner(words: words, options: options)
    learner.learn(upTo: options.vocabularySize)
    let files = TokenizerFiles(learner: learner, options: options)
    return try Tokenizer(files: files, path: "the tokenizer just trained")
  }

  private mutating func countPending() {
    let pieces = pending.flatMap { document in TextPieces.cut(document).map { document[$0] } }
    let pattern = options.pattern
    counters.withUnsafeMutableBufferPointer { counters in
      let counters = DisjointElements(counters)
      concurrently(count: pieces.count, threads: options.threads) { worker, index in
        pieces[index].withUnsafeBufferPointer { counters[worker].add(wordsOf: $0, pattern: pattern) }
      }
    }
    pending.removeAll()
    pendingBytes = 0
  }
}

extension Tokenizer {
  /// Trains a tokenizer on `documents`; see `TokenizerTrainer`.
  ///
  /// - Throws: `ForgeError.badInput` when the options contradict each other.
  public static func train(
    documents: some Sequence<[UInt8]>, options: TrainingOptions
  ) throws -> Tokenizer {
    var trainer = try TokenizerTrainer(options: options)
    for document in documents { trainer.add(document) }
    return try trainer.finish()
  }
}
