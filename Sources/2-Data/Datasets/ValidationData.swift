public import Batches
import Formats
import Support

/// The validation sequences: some of every validation set, spread evenly over it, in a fixed order, each once.
///
/// Which ones is a pure function of the arguments of `init`: the same at every validation, in every job and on any
/// number of ranks.
public struct ValidationData: Sendable {
  /// Tokens in a sequence, as inputs.
  public let sequenceLength: Int
  /// In the order of their sequences; those that have none included.
  public let sets: [ValidationSet]

  private let sources: [PackedTokens]

  /// Sequences of all sets together; 0 when there are none.
  public var count: Int { sets.reduce(0) { $0 + $1.used } }

  /// The held-out parts of `sources`; only prepared folders have one.
  ///
  /// Throws `badInput` when a dataset is missing or damaged, or has a token that is not in the vocabulary.
  public init(
    heldOutOf sources: [DataSource], sequenceLength: Int, documentMask: Bool, vocabularySize: Int,
    sequences: Int = .max
  ) throws {
    try self.init(
      sources: sources.filter(\.isPreparedFolder), sequenceLength: sequenceLength, documentMask: documentMask,
      vocabularySize: vocabularySize, sequences: sequences)
  }

  /// Datasets configured for validation: the validation parts of prepared folders, and whole `.bin/.idx` pairs.
  ///
  /// - Parameters:
  ///   - sequences: the max number, apportioned by the sources' weights; but at least one of each source that has one.
  ///   - checkedVocabularies: see ``TrainingData``.
  public init(
    sources: [DataSource], sequenceLength: Int, documentMask: Bool, vocabularySize: Int, sequences: Int = .max,
    checkedVocabularies: [String: Int] = [:]
  ) throws {
    precondition(sequenceLength > 0 && vocabularySize > 0)
    self.sequenceLength = sequenceLength
    self.sources = try sources.map { source in
      let packed = PackedTokens(
        dataset: try source.open(.validation), sequenceLength: sequenceLength, documentMask: documentMask)
      try packed.check(vocabularySize: vocabularySize, part: 0, of: 1, checked: checkedVocabularies)
      return packed
    }
    sets = ValidationSet.sets(of: sources, available: self.sources.map(\.count), sequences: sequences)
  }

  /// The range of a set's sequences in `0..<count`.
  public func sequences(of set: Int) -> Range<Int> {
    let first = sets[..<set].reduce(0) { $0 + $1.used }
    return first..<first + sets[set].used
  }

  /// Reads sequence `index` of `0..<count` into a batch; see ``TrainingData/read(_:into:sequence:)``.
  public func read(_ index: Int, into batch: TokenBatch, sequence: Int) {
    precondition(index >= 0 && index < count)
    var place = index
    for (set, source) in zip(sets, sources) {
      if place < set.used { return source.read(set.sequence(at: place), into: batch, sequence: sequence) }
      place -= set.used
    }
  }
}
