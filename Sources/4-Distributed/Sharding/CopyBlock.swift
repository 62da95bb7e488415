/// The block size of shard transfers between nodes: how much a rank has in memory of the shard it sends, and of the one
/// it receives.
public enum CopyBlock {
  public static let bytes = 4 << 20
}
