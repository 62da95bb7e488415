/// What a rank has in memory of a shard that it sends to another node, and of one that comes from there.
public enum CopyBlock {
  public static let bytes = 4 << 20
}
