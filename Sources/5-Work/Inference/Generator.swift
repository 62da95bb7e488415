import Models

/// Autoregressive generation: continues a prompt token by token.
public struct Generator {
  private let decoder: IncrementalDecoder
  private let sampler: Sampler
  private let ends: Set<Int32>

  /// - Parameter ends: the end-of-sequence tokens; generation stops at any of them.
  public init(_ decoder: IncrementalDecoder, sampler: Sampler, ends: Set<Int32>) {
    self.decoder = decoder
    self.sampler = sampler
    self.ends = ends
  }

  /// Generates until the end of the sequence, `maximumTokens`, or the decoder's capacity.
  ///
  /// - Parameters:
  ///   - prompt: at least one token, no more than the decoder's capacity.
  ///   - emit: called with each token as it is generated, except for an end-of-sequence token.
  /// - Returns: why generation ended.
  @discardableResult
  public func generate(
    prompt: [Int32], maximumTokens: Int, emit: (Int32) throws -> Void
  ) rethrows -> FinishReason {
    guard maximumTokens > 0 else { return .length }
    decoder.position = 0
    var logits = decoder.prefill(prompt)
    for index in 1...maximumTokens {
      let token = sampler.sample(logits, position: decoder.position)
      if ends.contains(token) { return .endOfSequence }
      try emit(token)
      guard index < maximumTokens, decoder.position < decoder.capacity else { break }
      logits = decoder.step(token)
    }
    return .length
  }

  public enum FinishReason: Sendable { case endOfSequence, length }
}
