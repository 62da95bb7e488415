import Foundation
import Support

/// The file operations of checkpoints, which tests replace to inject failures.
///
/// All throw `ForgeError.tryAgain` with the path and the system's reason.
public protocol FileOperations: Sendable {
  /// Creates a folder unless it exists.
  func makeFolder(_ path: String) throws
  /// Creates an empty file for writing.
  func create(_ path: String) throws -> OpenFile
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws
  /// Syncs the file's data to disk.
  func synchronize(_ file: OpenFile) throws
  func close(_ file: OpenFile) throws
  /// Syncs the names in a folder to disk.
  func synchronizeFolder(_ path: String) throws
  func rename(_ path: String, to newPath: String) throws
  func removeFile(_ path: String) throws
  func removeFolder(_ path: String) throws
}

/// An open file: its descriptor, and its path for messages.
public struct OpenFile: Sendable {
  public let descriptor: Int32
  public let path: String

  public init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }
}

/// The real file system.
public struct PosixFiles: FileOperations {
  public init() {}

  public func makeFolder(_ path: String) throws {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw systemError("make the folder", path) }
  }

  public func create(_ path: String) throws -> OpenFile {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw systemError("create", path) }
    return OpenFile(descriptor: descriptor, path: path)
  }

  public func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws {
    let direct = try writeDirectly(bytes, to: file, at: offset)
    var written = direct
    while written < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
      let count = pwrite(file.descriptor, rest.baseAddress, rest.count, off_t(offset + written))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw systemError("write", file.path) }
      written += count
    }
    // Linux starts to write these pages back, so that the disk is busy while the next are encoded.
    if written - direct >= 1 << 20 {
      _ = posix_fadvise(file.descriptor, off_t(offset), off_t(written), POSIX_FADV_DONTNEED)
    }
  }

  /// Writes the whole blocks of aligned bytes by direct I/O: the page cache would take longer than the disk, and evict
  /// other pages.
  ///
  /// - Returns: the bytes written, from the first; fewer than all where the file system has no direct I/O, as some in
  ///   memory or on a network.
  private func writeDirectly(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws -> Int {
    let alignment = DirectMemory.alignment
    let whole = bytes.count - bytes.count % alignment
    guard whole > 0, Int(bitPattern: bytes.baseAddress) % alignment == 0, offset % alignment == 0,
      fcntl(file.descriptor, F_SETFL, __O_DIRECT) == 0
    else { return 0 }
    defer { _ = fcntl(file.descriptor, F_SETFL, 0) }
    var written = 0
    while written < whole, written % alignment == 0 {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[written..<whole])
      let count = pwrite(file.descriptor, rest.baseAddress, rest.count, off_t(offset + written))
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EINVAL { break }
      guard count > 0 else { throw systemError("write", file.path) }
      written += count
    }
    return written
  }

  public func synchronize(_ file: OpenFile) throws {
    guard fsync(file.descriptor) == 0 else { throw systemError("synchronize", file.path) }
  }

  public func close(_ file: OpenFile) throws {
    guard Foundation.close(file.descriptor) == 0 else { throw systemError("close", file.path) }
  }

  public func synchronizeFolder(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError("open the folder", path) }
    defer { _ = Foundation.close(descriptor) }
    guard fsync(descriptor) == 0 else { throw systemError("synchronize the folder", path) }
  }

  public func rename(_ path: String, to newPath: String) throws {
    guard Foundation.rename(path, newPath) == 0 else { throw systemError("rename to '\(newPath)'", path) }
  }

  public func removeFile(_ path: String) throws {
    guard unlink(path) == 0 || errno == ENOENT else { throw systemError("remove", path) }
  }

  public func removeFolder(_ path: String) throws {
    guard rmdir(path) == 0 || errno == ENOENT else { throw systemError("remove the folder", path) }
  }
}

extension FileOperations {
  /// Creates a folder and its missing parents, and syncs its name; also that of an existing folder, whose creator may
  /// have been killed before the sync.
  func makeFolderDurably(_ path: String) throws {
    let parent = path.parentFolder
    if parent != path, !FileManager.default.fileExists(atPath: parent) { try makeFolderDurably(parent) }
    try makeFolder(path)
    try synchronizeFolder(parent)
  }

  /// Writes a small file and syncs its data.
  func writeDurably(_ bytes: [UInt8], to path: String) throws {
    let file = try create(path)
    do {
      try bytes.withUnsafeBytes { try write($0, to: file, at: 0) }
      try synchronize(file)
    } catch {
      try? close(file)
      throw error
    }
    try close(file)
  }

  /// Removes a folder and the files in it, if it exists.
  func removeTree(_ path: String) throws {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
      try removeFile("\(path)/\(name)")
    }
    try removeFolder(path)
  }
}
