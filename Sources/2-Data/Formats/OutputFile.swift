import Glibc
import Support

/// An atomically written file, which appears under its name only when it is complete: written under a temporary name
/// beside it, synced and renamed by `commit`, removed when released before that.
public final class OutputFile {
  public let path: String
  private let finalPath: [CChar]
  private let partialPath: [CChar]
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var isCommitted = false
  private static let bufferCapacity = 1 << 20

  /// Throws `badInput` when the file cannot be created.
  public init(path: String) throws {
    self.path = path
    finalPath = PathBytes.cString(of: path)
    (partialPath, descriptor) = Self.create(beside: path)
    guard descriptor >= 0 else {
      throw ForgeError.badInput(
        "cannot write '\(PathBytes.display(path))': \(systemMessage())", code: .system(errno, else: .writeFailed))
    }
  }

  deinit {
    close(descriptor)
    if !isCommitted { unlink(partialPath) }
  }

  /// Appends bytes through a buffer of 1 MiB.
  public func append(_ bytes: UnsafeRawBufferPointer) throws {
    if buffer.count + bytes.count > Self.bufferCapacity { try flush() }
    if bytes.count > Self.bufferCapacity {
      try writeAll(bytes, at: nil)
    } else {
      buffer.append(contentsOf: bytes)
    }
  }

  public func append(_ bytes: some Sequence<UInt8>) throws {
    let bytes = Array(bytes)
    try bytes.withUnsafeBytes { try append($0) }
  }

  /// Writes bytes at an offset of the file. Not to be mixed with `append`.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    try writeAll(bytes, at: offset)
  }

  /// Syncs the file and renames it to its final name, replacing a file of that name.
  public func commit() throws {
    try flush()
    guard fsync(descriptor) == 0, rename(partialPath, finalPath) == 0 else { throw failure() }
    isCommitted = true
  }

  /// Creates a new file (`O_EXCL`): an existing one with a temporary name may be the user's.
  private static func create(beside path: String) -> (path: [CChar], descriptor: Int32) {
    for _ in 0..<100 {
      let candidate = PathBytes.cString(of: TemporaryName.beside(path))
      let descriptor = open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 || errno != EEXIST { return (candidate, descriptor) }
    }
    return ([0], -1)
  }

  private func flush() throws {
    try buffer.withUnsafeBytes { try writeAll($0, at: nil) }
    buffer.removeAll(keepingCapacity: true)
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int?) throws {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let written =
        if let offset {
          pwrite(descriptor, rest.baseAddress, rest.count, offset + done)
        } else {
          Glibc.write(descriptor, rest.baseAddress, rest.count)
        }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw failure() }
      done += written
    }
  }

  private func failure() -> ForgeError {
    .tryAgain(
      "writing '\(PathBytes.display(path))' failed: \(systemMessage())", code: .system(errno, else: .writeFailed))
  }
}
