import Foundation
import Support

/// Every way in which a checkpoint changes the disk, so that a test can let any of them fail.
///
/// All throw `ForgeError.tryAgain` with the path and the system's own words.
public protocol FileOperations: Sendable {
  /// Makes a folder; fine when it exists.
  func makeFolder(_ path: String) throws
  /// Makes an empty file for writing.
  func create(_ path: String) throws -> OpenFile
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws
  /// Returns once the file's data is on the disk.
  func synchronize(_ file: OpenFile) throws
  func close(_ file: OpenFile) throws
  /// Returns once the names in the folder are on the disk.
  func synchronizeFolder(_ path: String) throws
  func rename(_ path: String, to newPath: String) throws
  func removeFile(_ path: String) throws
  func removeFolder(_ path: String) throws
}

/// A file descriptor and the name for messages.
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
    // Linux starts to write pages that are not needed any more, so that the disk works while the next are made.
    if written - direct >= 1 << 20 {
      _ = posix_fadvise(file.descriptor, off_t(offset), off_t(written), POSIX_FADV_DONTNEED)
    }
  }

  /// Writes the whole blocks of aligned bytes past the page cache, which otherwise takes longer than the disk and pushes
  /// out what others keep there.
  ///
  /// - Returns: the bytes written, from the first; not all of them where the file system cannot do this, as some in
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
  /// Makes a folder, and those above it that are missing, and waits until its name is on the disk. It waits for a folder
  /// that is there already, too: whoever made it may have been killed before.
  func makeFolderDurably(_ path: String) throws {
    let parent = path.parentFolder
    if parent != path, !FileManager.default.fileExists(atPath: parent) { try makeFolderDurably(parent) }
    try makeFolder(path)
    try synchronizeFolder(parent)
  }

  /// Writes a whole small file and waits until its data is on the disk.
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

  /// Removes a folder with its files, if it is there.
  func removeTree(_ path: String) throws {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
      try removeFile("\(path)/\(name)")
    }
    try removeFolder(path)
  }
}
