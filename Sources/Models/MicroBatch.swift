import Kernels

/// The unit of arithmetic: some sequences that pass through the model together.
///
/// Every matrix product of a micro-batch has a shape that only the micro-batch decides, so its numbers are the same
/// whichever rank computes it.
public struct MicroBatch: Sendable {
  public let sequences: Int
  public let length: Int
  private let memory: Arena<Int32>

  public var tokenCount: Int { sequences * length }

  /// `[sequences · length]`: input ids; targets, -1 where there is none; the first position of a token's document in its
  /// sequence; positions within the document.
  public var inputs: Buffer<Int32> { part(0) }
  public var targets: Buffer<Int32> { part(1) }
  public var documentStarts: Buffer<Int32> { part(2) }
  public var positions: Buffer<Int32> { part(3) }

  public init(sequences: Int, length: Int) {
    self.sequences = sequences
    self.length = length
    memory = Arena(count: Self.words(sequences: sequences, length: length))
  }

  public static func words(sequences: Int, length: Int) -> Int { 4 * sequences * length }

  private func part(_ index: Int) -> Buffer<Int32> {
    memory.buffer[index * tokenCount..<(index + 1) * tokenCount]
  }

  /// Fills in one sequence.
  ///
  /// - Parameters:
  ///   - tokens: `[length + 1]`; inputs are all but the last, targets all but the first.
  ///   - documentStarts: `[length]`; see `inputs`. A target that begins another document is not trained on.
  public func set(sequence: Int, tokens: UnsafeBufferPointer<Int32>, documentStarts starts: UnsafeBufferPointer<Int32>)
  {
    precondition(tokens.count == length + 1 && starts.count == length)
    let first = sequence * length
    for i in 0..<length {
      inputs[first + i] = tokens[i]
      let crosses = i + 1 < length && starts[i + 1] == Int32(i + 1)
      targets[first + i] = crosses ? -1 : tokens[i + 1]
      documentStarts[first + i] = starts[i]
      positions[first + i] = Int32(i) - starts[i]
    }
  }

  /// Tokens of one sequence that continue what was read before; there are no targets.
  init(inputs tokens: some Collection<Int32>, firstPosition: Int) {
    self.init(sequences: 1, length: tokens.count)
    targets.fill(-1)
    for (i, token) in tokens.enumerated() {
      inputs[i] = token
      positions[i] = Int32(firstPosition + i)
    }
  }

  /// Tokens that are trained on.
  public var targetCount: Int { targets.pointer.count { $0 >= 0 } }
}
