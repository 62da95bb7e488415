/// What a node's folder of copies needs beside what every folder of checkpoints does.
extension CheckpointFolder {
  /// Makes the folder, and an empty file to show that it can be written.
  public func make(withEmptyFile file: String) throws {
    try files.makeFolderDurably(path)
    try files.close(files.create(file))
  }

  /// As ``begin(step:)``, with the manifest in it, for a checkpoint whose shards come from elsewhere.
  public func begin(step: Int, manifest: [UInt8]) throws {
    try files.writeDurably(manifest, to: "\(begin(step: step))/\(CheckpointManifest.fileName)")
  }

  /// Removes all checkpoints and the folder.
  public func discard() throws {
    try recover()
    for step in steps() { try delete(step: step) }
    try files.removeTree(path)
  }
}
