/// Node-local checkpoints: operations of a node on its folder of copies.
///
/// A copy is saved as any checkpoint is, but some of its shards are received from other nodes (``ShardCopy``) before
/// the commit. Call ``retire(keeping:)`` after all nodes have committed.
extension CheckpointFolder {
  /// The number of copies to keep: of the newest, both files of a shard may be damaged.
  private static let keptCopies = 2

  /// Creates the folder, and an empty file to check that it is writable.
  public func make(withEmptyFile file: String) throws {
    try files.makeFolderDurably(path)
    try files.close(files.create(file))
  }

  /// As ``begin(step:)``, with the manifest in it, for a checkpoint whose shards are received from other nodes.
  public func begin(step: Int, manifest: [UInt8]) throws {
    try files.writeDurably(manifest, to: "\(begin(step: step))/\(CheckpointManifest.fileName)")
  }

  /// Deletes all but the copy of `step` and the one before it; also later ones, which a rollback has made obsolete.
  package func retire(keeping step: Int) throws {
    let steps = steps()
    let wanted = steps.filter { $0 <= step }.suffix(Self.keptCopies)
    for step in steps where !wanted.contains(step) { try delete(step: step) }
  }

  /// Deletes all checkpoints and the folder.
  public func discard() throws {
    try recover()
    for step in steps() { try delete(step: step) }
    try files.removeTree(path)
  }
}
