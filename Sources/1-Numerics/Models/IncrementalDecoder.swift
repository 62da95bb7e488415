import Batches
import Kernels

/// Autoregressive decoding with a key-value cache: reads a sequence in parts, so that a further token costs one row of
/// arithmetic.
///
/// It is a `Decoder` with a cache: the same layers and kernels. Memory is planned once for the longest sequence.
public final class IncrementalDecoder {
  /// Tokens of a prompt in one forward pass (chunked prefill).
  public static let chunk = 256

  private let decoder: Decoder
  private let cache: KeyValueCache
  private let logits: Arena<Float>
  private let parameters: Arena<Float>

  /// - Parameters:
  ///   - parameters: `[layout.count]`; retained, and not to be changed.
  ///   - capacity: tokens of the longest sequence.
  public init(_ configuration: ModelConfiguration, parameters: Arena<Float>, capacity: Int, backend: Backend) {
    precondition(capacity >= 1)
    self.capacity = capacity
    let cache = KeyValueCache(configuration, capacity: capacity)
    self.cache = cache
    self.parameters = parameters
    let plan = WorkspacePlan(configuration, sequences: 1, length: min(capacity, Self.chunk), training: false)
    decoder = Decoder(
      configuration, parameters: parameters.buffer, plan: plan, positions: cache.capacity,
      parameterSharding: UnshardedParameters(),
      exchange: LocalExperts(count: configuration.experts?.count ?? 0), cache: cache,
      workspace: Workspace([plan]), backend: backend)
    logits = Arena(count: configuration.vocabularySize)
    decoder.parametersAreUnchanged = true
  }

  /// Bytes that `init` allocates, from the same formulas.
  public static func plannedBytes(_ configuration: ModelConfiguration, capacity: Int) -> Int {
    Decoder.plannedBytes(
      configuration, sequences: 1, length: min(capacity, chunk), training: false,
      positions: KeyValueCache.rows(capacity)) + 4
      * (KeyValueCache.floats(configuration, capacity: capacity) + configuration.vocabularySize)
  }

  /// The max tokens of a sequence.
  public let capacity: Int

  /// Tokens read so far. Setting it to less truncates the cache.
  public var position: Int {
    get { cache.count }
    set {
      precondition(newValue >= 0 && newValue <= cache.count, "only tokens that were read can be forgotten")
      cache.count = newValue
    }
  }

  /// Reads tokens and returns the logits of the next one, `[vocabulary]`.
  ///
  /// - Parameter tokens: at least one, each within the vocabulary; with those read before, at most `capacity`.
  @discardableResult
  public func prefill(_ tokens: some Collection<Int32>) -> [Float] {
    precondition(!tokens.isEmpty && position + tokens.count <= capacity, "the sequence is empty or too long")
    var rest = tokens[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(Self.chunk)
      rest = rest.dropFirst(chunk.count)
      let batch = TokenBatch(inputs: chunk, firstPosition: position)
      decoder.read(batch, lastLogits: rest.isEmpty ? logits.buffer : nil)
      cache.count += chunk.count
    }
    return logits.buffer.array()
  }

  /// log p(token) of the next token, from the logits of the last call: the same bits as the training forward pass.
  public func logProbability(of token: Int32) -> Float {
    decoder.backend.logProbability(of: Int(token), logits: logits.buffer)
  }

  /// Reads one token and returns the logits of the next one, `[vocabulary]`.
  public func step(_ token: Int32) -> [Float] { prefill(CollectionOfOne(token)) }
}
