/// File operations guarded by a check before every change (fencing), so that a process that has lost its lease changes
/// nothing.
public struct GuardedFiles: FileOperations {
  private let files: any FileOperations
  private let check: @Sendable () throws -> Void

  /// - Parameter check: called before every change; an error that it throws prevents the change.
  public init(_ files: any FileOperations = PosixFiles(), check: @escaping @Sendable () throws -> Void) {
    self.files = files
    self.check = check
  }

  public func makeFolder(_ path: String) throws {
    try check()
    try files.makeFolder(path)
  }

  public func create(_ path: String) throws -> OpenFile {
    try check()
    return try files.create(path)
  }

  public func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws {
    try check()
    try files.write(bytes, to: file, at: offset)
  }

  public func synchronize(_ file: OpenFile) throws { try files.synchronize(file) }
  public func close(_ file: OpenFile) throws { try files.close(file) }
  public func synchronizeFolder(_ path: String) throws { try files.synchronizeFolder(path) }

  public func rename(_ path: String, to newPath: String) throws {
    try check()
    try files.rename(path, to: newPath)
  }

  public func removeFile(_ path: String) throws {
    try check()
    try files.removeFile(path)
  }

  public func removeFolder(_ path: String) throws {
    try check()
    try files.removeFolder(path)
  }
}
