/// A shard that comes from another node, block by block. It has its name only when all of it is durable, so that one with
/// the right length is never half of it.
package final class ShardCopy {
  private static let partialSuffix = ".partial"

  private let path: String
  private let files: any FileOperations
  private let file: OpenFile
  private var isClosed = false

  /// - Throws: `ForgeError.tryAgain`, as everything here.
  package init(path: String, files: any FileOperations) throws {
    self.path = path
    self.files = files
    file = try files.create(path + Self.partialSuffix)
  }

  deinit { if !isClosed { try? files.close(file) } }

  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    try files.write(bytes, to: file, at: offset)
  }

  /// Makes the data durable; the name is when its folder is synchronised.
  package func finish() throws {
    try files.synchronize(file)
    isClosed = true
    try files.close(file)
    try files.rename(file.path, to: path)
  }
}
