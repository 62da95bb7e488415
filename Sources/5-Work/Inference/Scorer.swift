import Batches
import Kernels
import Models

/// The log-likelihood of a sequence of tokens under a model.
public struct Score: Sendable {
  /// The mean of −log p over the predicted tokens, in nats.
  public var loss: Double
  /// log p of every token but the first, given those before it: `[tokens − 1]`.
  public var logProbabilities: [Float]
}

/// Log-likelihood scoring of sequences, with the forward pass that training uses.
///
/// Sequences are scored one at a time, so a score does not depend on other sequences.
public final class Scorer {
  private let decoder: Decoder
  private let longest: Int
  private let parameters: Arena<Float>

  /// - Parameters:
  ///   - parameters: `[layout.count]`; kept for as long as this object lives.
  ///   - longest: the max tokens of a sequence.
  public init(_ configuration: ModelConfiguration, parameters: Arena<Float>, longest: Int, backend: Backend) {
    self.longest = longest
    self.parameters = parameters
    decoder = Decoder(
      configuration, parameters: parameters.buffer, sequences: 1, length: max(1, longest - 1), training: false,
      backend: backend)
    decoder.parametersAreUnchanged = true
  }

  /// - Parameter tokens: at least two ids, each within the vocabulary.
  public func score(_ tokens: [Int32]) throws -> Score {
    precondition(tokens.count >= 2 && tokens.count <= longest)
    let batch = TokenBatch(sequences: 1, length: tokens.count - 1)
    batch.set(sequence: 0, tokens: tokens)
    let logProbabilities = try decoder.logProbabilities(batch)
    let sum = logProbabilities.reduce(0.0) { $0 + Double($1) }
    return Score(loss: -sum / Double(logProbabilities.count), logProbabilities: logProbabilities)
  }
}
