/// Chunk sizes of gradient reductions and parameter gathers.
public enum ExchangeChunk {
  // Sums of all ranks in one chunk, which stay in the processor's cache.
  private static let elements = 256 * 1024

  /// Gradient sums per rank in one chunk, with a minimum so that latency does not dominate.
  public static func share(ranks: Int) -> Int { max(4096, elements / ranks) }

  /// Parameters per rank in one chunk: as many bytes.
  public static func parameterShare(ranks: Int) -> Int { 2 * share(ranks: ranks) }

  /// Chunks in flight at a time: with two, a link stays busy while ranks detect that one is complete, add it and start
  /// another. With more than 64 ranks a chunk is long enough to need only one.
  public static func underWay(ranks: Int) -> Int { ranks * share(ranks: ranks) > elements ? 1 : 2 }

  /// Elements of the receive buffer of other ranks' sums.
  public static func buffer(ranks: Int) -> Int { underWay(ranks: ranks) * (ranks - 1) * share(ranks: ranks) }
}
