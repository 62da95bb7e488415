/// What one node does with its folder of copies, beside what every folder of checkpoints allows.
///
/// A copy is made as any checkpoint is, but that some of its shards come from other nodes (``ShardCopy``) before the
/// commit. ``retire(keeping:)`` comes when all nodes have committed.
extension CheckpointFolder {
  /// Copies that stay: of the newest, both of a shard's files may be damaged.
  private static let keptCopies = 2

  /// Makes the folder, and an empty file to show that it can be written.
  public func make(withEmptyFile file: String) throws {
    try files.makeFolderDurably(path)
    try files.close(files.create(file))
  }

  /// As ``begin(step:)``, with the manifest in it, for a checkpoint whose shards come from elsewhere.
  public func begin(step: Int, manifest: [UInt8]) throws {
    try files.writeDurably(manifest, to: "\(begin(step: step))/\(CheckpointManifest.fileName)")
  }

  /// Deletes all but the copy of `step` and the one before it; also later ones, which belong to a course that the run has
  /// left.
  package func retire(keeping step: Int) throws {
    let steps = steps()
    let wanted = steps.filter { $0 <= step }.suffix(Self.keptCopies)
    for step in steps where !wanted.contains(step) { try delete(step: step) }
  }

  /// Removes all checkpoints and the folder.
  public func discard() throws {
    try recover()
    for step in steps() { try delete(step: step) }
    try files.removeTree(path)
  }
}
