/// A shard that is received from another node, block by block. It gets its name when its data is durable, so a shard
/// under its name is always complete.
package final class ShardCopy {
  private static let partialSuffix = ".partial"

  private let path: String
  private let files: any FileOperations
  private let file: OpenFile
  private var isClosed = false

  /// - Throws: `ForgeError.tryAgain`, as all methods.
  package init(path: String, files: any FileOperations) throws {
    self.path = path
    self.files = files
    file = try files.create(path + Self.partialSuffix)
  }

  deinit { if !isClosed { try? files.close(file) } }

  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    try files.write(bytes, to: file, at: offset)
  }

  /// Syncs the data and renames the file; the name is durable after a sync of its folder.
  package func finish() throws {
    try files.synchronize(file)
    isClosed = true
    try files.close(file)
    try files.rename(file.path, to: path)
  }
}
