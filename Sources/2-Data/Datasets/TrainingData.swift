public import Batches
import Formats
import Support

/// An endless stream of training sequences from a weighted mixture of memory-mapped datasets.
///
/// Which sequence has which index is a pure function of the arguments of `init`, so a run resumes at any step and on
/// any number of ranks without a saved position. Reading is thread-safe and allocates nothing.
public struct TrainingData: Sendable {
  /// Tokens in a sequence, as inputs.
  public let sequenceLength: Int

  let sources: [PackedTokens]
  private let mixture: Mixture
  private let shuffle: Bool
  private let mixtureKey: UInt64
  private let sourcesKey: UInt64

  /// Opens the datasets and checks their tokens, or this process's part of them, against the vocabulary.
  ///
  /// - Parameters:
  ///   - shuffle: whether each source's sequences are shuffled, anew in every epoch, and the order of the sources is
  ///     shuffled too. Otherwise, with one source, sequence `i` is tokens `[i*T, i*T + T]` of the stream, wrapping
  ///     after the last whole sequence.
  ///   - documentMask: whether a token attends only to tokens of its own document.
  ///   - part, parts: the part of the tokens that this process checks against the vocabulary, so that the ranks of a
  ///     job divide the work.
  ///   - checkedVocabularies: by a dataset's path without `.bin` and `.idx`, the size of a vocabulary that its ids are
  ///     known to be in; such datasets are not checked again for one at least as large.
  ///
  /// Throws `badInput` when a dataset is missing, damaged or shorter than a sequence, or has a token that is not in the
  /// vocabulary.
  public init(
    sources: [DataSource], sequenceLength: Int, shuffle: Bool, documentMask: Bool, seed: UInt64, vocabularySize: Int,
    checkingPart part: Int = 0, of parts: Int = 1, checkedVocabularies: [String: Int] = [:]
  ) throws {
    precondition(sequenceLength > 0 && vocabularySize > 0 && part >= 0 && part < parts)
    guard !sources.isEmpty else {
      throw ForgeError.badInput(
        "there is no training data: data.train is empty", code: .emptyInput, keyPath: "data.train")
    }
    mixture = try Mixture(weights: sources.map(\.weight))
    self.sources = try sources.map { source in
      let packed = PackedTokens(
        dataset: try source.open(.train), sequenceLength: sequenceLength, documentMask: documentMask)
      guard packed.count > 0 else {
        throw ForgeError.badInput(
          "'\(packed.dataset.dataPath)' has \(packed.dataset.tokenCount) tokens, fewer than the \(sequenceLength + 1) "
            + "of one sequence", code: .emptyInput)
      }
      try packed.check(vocabularySize: vocabularySize, part: part, of: parts, checked: checkedVocabularies)
      return packed
    }
    self.sequenceLength = sequenceLength
    self.shuffle = shuffle
    mixtureKey = combine(seed, 0)
    sourcesKey = combine(seed, 1)
  }

  /// Sequences in the largest source.
  public var sequencesPerEpoch: Int { sources.reduce(0) { max($0, $1.count) } }

  /// Tokens of all sources together.
  public var tokenCount: Int { sources.reduce(0) { $0 + $1.dataset.tokenCount } }

  /// Reads sequence number `index` of the stream (step × sequences per batch + place in the batch) into a batch.
  ///
  /// Every target has loss weight 1. With `documentMask` it is 0 for the first token of another document than its
  /// input's (except for a sequence's last target, whose document is not looked up), and positions restart at each
  /// document; one that began in an earlier sequence starts at 0.
  ///
  /// - Parameter sequence: its index in the batch, whose sequences are `sequenceLength` tokens long.
  public func read(_ index: Int, into batch: TokenBatch, sequence: Int) {
    let place = place(of: index)
    sources[place.source].read(place.sequence, into: batch, sequence: sequence)
  }

  /// The source of a sequence of the stream and its number within that source.
  func place(of index: Int) -> (source: Int, sequence: Int) {
    precondition(index >= 0)
    let draw = mixture.draw(at: index, shuffledBy: shuffle ? mixtureKey : nil)
    let count = sources[draw.source].count
    let (epoch, offset) = draw.ordinal.quotientAndRemainder(dividingBy: count)
    guard shuffle else { return (draw.source, offset) }
    let key = combine(combine(sourcesKey, UInt64(draw.source)), UInt64(epoch))
    return (draw.source, Permutation(count: count, key: key)(offset))
  }
}
