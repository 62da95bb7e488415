import Glibc
import Support

/// A file mapped read-only into memory for as long as the object lives.
public final class MappedFile: Sendable {
  public let path: String

  /// The whole file. The pages are never written and outlive every reader that holds the object, so threads may
  /// share the pointer.
  public nonisolated(unsafe) let bytes: UnsafeRawBufferPointer

  public var count: Int { bytes.count }

  /// Throws `badInput` when the file is missing, unreadable or not a regular file.
  public init(path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw ForgeError.badInput(
        "cannot read '\(path)': \(systemMessage())", code: .system(errno, else: .fileUnreadable))
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw ForgeError.badInput("cannot read '\(path)': it is not a regular file", code: .wrongKind)
    }
    self.path = path
    let size = Int(status.st_size)
    guard size > 0 else {
      // `mmap` rejects an empty mapping, but an empty file is a valid input.
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), start != MAP_FAILED else {
      throw ForgeError.tryAgain(
        "cannot map '\(path)' into memory: \(systemMessage())", code: .system(errno, else: .fileUnreadable))
    }
    bytes = UnsafeRawBufferPointer(start: start, count: size)
  }

  deinit {
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}

/// The C library's message for the current `errno`.
func systemMessage() -> String { String(cString: strerror(errno)) }
