/// How gradient sums are cut up when they are exchanged.
public enum ExchangeChunk {
  /// Elements of each rank in one exchange: 256 Ki in all, which stay in the processor's cache, but never messages so
  /// short that their number is what takes the time.
  public static func share(ranks: Int) -> Int { max(4096, 256 * 1024 / ranks) }
}
