public import Buffers

/// A micro-batch of tokens: packed sequences, each with its own length, and columns with a value per token.
///
/// It is the unit of arithmetic: the shapes of its matrix products depend on the micro-batch only, so its numbers are
/// the same on any rank. Loss weights, set where the batch is filled in, select the targets that are trained on.
public struct TokenBatch: Sendable {
  /// The name of a float column.
  public struct Column: Hashable, Sendable {
    public let name: String

    public init(_ name: String) { self.name = name }

    /// The loss weight of a token's target; 0 masks it. Every batch has this column.
    public static let lossWeights = Column("loss_weights")
    /// The advantage of a sampled token, in policy-gradient objectives.
    public static let advantages = Column("advantages")
    /// log p(target) under a frozen reference model.
    public static let referenceLogProbabilities = Column("reference_log_probabilities")
  }

  public let packing: SequencePacking
  /// The float columns, `lossWeights` first.
  public let columns: [Column]
  private let integers: Arena<Int32>
  private let fractions: Arena<Float>

  /// A zero-filled batch of packed sequences.
  ///
  /// - Parameter columns: float columns besides `lossWeights`.
  public init(_ packing: SequencePacking, columns: [Column] = []) {
    self.packing = packing
    self.columns = [.lossWeights] + columns
    integers = Arena(count: Self.integerColumns * packing.tokenCount)
    fractions = Arena(count: self.columns.count * packing.tokenCount)
  }

  /// A batch of sequences of one length.
  public init(sequences: Int, length: Int, columns: [Column] = []) {
    self.init(SequencePacking(sequences: sequences, length: length), columns: columns)
  }

  private static let integerColumns = 4

  /// Bytes of a batch's memory.
  public static func bytes(tokens: Int, columns: Int = 0) -> Int { 4 * (integerColumns + 1 + columns) * tokens }

  public var sequences: Int { packing.sequences }
  public var tokenCount: Int { packing.tokenCount }

  /// Token ids that the model reads, `[tokens]`.
  public var inputs: Buffer<Int32> { integerColumn(0) }
  /// Token ids to predict, `[tokens]`; -1 where there is none.
  public var targets: Buffer<Int32> { integerColumn(1) }
  /// The first position of each token's document within its sequence, `[tokens]`: earlier tokens are not attended to.
  public var documentStarts: Buffer<Int32> { integerColumn(2) }
  /// Positions for the rotary embedding, `[tokens]`.
  public var positions: Buffer<Int32> { integerColumn(3) }
  /// See `Column.lossWeights`, `[tokens]`.
  public var lossWeights: Buffer<Float> { self[.lossWeights] }

  /// A float column, `[tokens]`.
  public subscript(column: Column) -> Buffer<Float> {
    guard let place = columns.firstIndex(of: column) else {
      preconditionFailure("the batch has no column '\(column.name)'")
    }
    return fractions.buffer[place * tokenCount..<(place + 1) * tokenCount]
  }

  private func integerColumn(_ place: Int) -> Buffer<Int32> {
    integers.buffer[place * tokenCount..<(place + 1) * tokenCount]
  }

  /// Fills in a sequence of one document, with loss weight 1 for every target.
  ///
  /// - Parameter tokens: `[length + 1]`; inputs are all but the last, targets all but the first.
  public func set(sequence: Int, tokens: [Int32]) {
    let rows = packing.tokens(of: sequence)
    precondition(tokens.count == rows.count + 1, "a sequence has one token more than rows")
    for (place, row) in rows.enumerated() {
      inputs[row] = tokens[place]
      targets[row] = tokens[place + 1]
      documentStarts[row] = 0
      positions[row] = Int32(place)
      lossWeights[row] = 1
    }
  }

  /// A batch of tokens that continue a cached sequence, without targets.
  public init(inputs tokens: some Collection<Int32>, firstPosition: Int) {
    self.init(sequences: 1, length: tokens.count)
    targets.fill(-1)
    for (row, token) in tokens.enumerated() {
      inputs[row] = token
      positions[row] = Int32(firstPosition + row)
    }
  }
}
