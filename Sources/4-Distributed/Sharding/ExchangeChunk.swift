/// How gradient sums and parameters are cut up when they are exchanged.
public enum ExchangeChunk {
  // Sums of all ranks in one exchange, which stay in the processor's cache.
  private static let elements = 256 * 1024

  /// Gradient sums of each rank in one exchange: never messages so short that their number is what takes the time.
  public static func share(ranks: Int) -> Int { max(4096, elements / ranks) }

  /// Parameters of each rank in one exchange: as many bytes.
  public static func parameterShare(ranks: Int) -> Int { 2 * share(ranks: ranks) }

  /// Exchanges of a unit that are under way at a time: with two, a link is busy also while ranks notice that one is
  /// complete, add it up and start another. Of many ranks, one is long enough to make up for that.
  public static func underWay(ranks: Int) -> Int { ranks * share(ranks: ranks) > elements ? 1 : 2 }

  /// Elements of the memory that the sums of other ranks arrive in.
  public static func buffer(ranks: Int) -> Int { underWay(ranks: ranks) * (ranks - 1) * share(ranks: ranks) }
}
