public import Batches
import Diagnostics
import Formats

/// The sequences that a model is validated on: all of them, in a fixed order, each once.
public struct ValidationData: Sendable {
  /// Inputs in a sequence.
  public let sequenceLength: Int
  /// Whole sequences of all sources together; 0 when there is nothing to validate on.
  public let count: Int

  private let sources: [PackedTokens]

  /// Whole sequences of each source.
  public var counts: [Int] { sources.map(\.count) }

  /// The parts held out from `sources`: those of prepared folders. The prefix of a `.bin/.idx` pair has none.
  ///
  /// Throws `badInput` when a dataset is missing or damaged, or has a token that is not in the vocabulary.
  public init(
    heldOutOf sources: [DataSource], sequenceLength: Int, documentMask: Bool, vocabularySize: Int
  ) throws {
    try self.init(
      sources: sources.filter(\.isPreparedFolder), sequenceLength: sequenceLength, documentMask: documentMask,
      vocabularySize: vocabularySize)
  }

  /// Datasets named for validation: the validation parts of prepared folders, `.bin/.idx` pairs as a whole.
  ///
  /// - Parameter checkedVocabularies: see ``TrainingData``.
  public init(
    sources: [DataSource], sequenceLength: Int, documentMask: Bool, vocabularySize: Int,
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
    count = self.sources.reduce(0) { $0 + $1.count }
  }

  /// Reads sequence `index` of `0..<count` into a batch; see ``TrainingData/read(_:into:sequence:)``.
  public func read(_ index: Int, into batch: TokenBatch, sequence: Int) {
    precondition(index >= 0 && index < count)
    var index = index
    for source in sources {
      if index < source.count { return source.read(index, into: batch, sequence: sequence) }
      index -= source.count
    }
  }
}
