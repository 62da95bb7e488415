import DocumentText
import Glibc
import Support

/// A file-system path as raw bytes, which need not be UTF-8.
struct RawPath: Sendable, Hashable {
  var bytes: [UInt8]

  init(bytes: [UInt8]) { self.bytes = bytes }

  /// From a string that may carry raw bytes; see `PathBytes`.
  init(_ path: String) { bytes = PathBytes.bytes(of: path) }

  /// For messages: bytes that are not UTF-8 are replaced.
  var string: String { String(decoding: bytes, as: UTF8.self) }

  /// Whether ``string`` loses bytes.
  var isLossy: Bool { String(validating: bytes, as: UTF8.self) == nil }

  /// The part after the last slash.
  var name: ArraySlice<UInt8> { bytes[(bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...] }

  /// Standard input, as commands name it.
  var isStandardInput: Bool { bytes == [UInt8(ascii: "-")] }

  func appending(_ name: [UInt8]) -> RawPath {
    var path = self
    if path.bytes.last != UInt8(ascii: "/") { path.bytes.append(UInt8(ascii: "/")) }
    path.bytes += name
    return path
  }

  /// With the terminator that system calls need.
  var cString: [CChar] { bytes.map(CChar.init(bitPattern:)) + [0] }

  /// `stat(2)` of the path, which follows symbolic links; nil when it fails.
  func status() -> stat? {
    var status = stat()
    let result = isStandardInput ? fstat(STDIN_FILENO, &status) : stat(cString, &status)
    return result == 0 ? status : nil
  }

  /// Reads a range of a file, or all of a file, a pipe or standard input.
  ///
  /// Throws `unreadable`, or `tooLarge` when there are more than `limit`.
  func contents(in range: Range<Int>? = nil, limit: Int) throws(SkipReason) -> [UInt8] {
    let descriptor = isStandardInput ? dup(STDIN_FILENO) : open(cString, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .unreadable }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .unreadable }
    let isRegular = status.st_mode & S_IFMT == S_IFREG
    guard range != nil || !isRegular || Int(status.st_size) <= limit else { throw .tooLarge }
    if let range { lseek(descriptor, off_t(range.lowerBound), SEEK_SET) }
    var bytes: [UInt8] = []
    // One byte more than expected, to detect the end.
    var block = range?.count ?? (isRegular ? Int(status.st_size) + 1 : 1 << 16)
    while range == nil || bytes.count < range?.count ?? 0 {
      let wanted = range.map { $0.count - bytes.count } ?? block
      var result = 0
      let piece = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
        repeat { result = read(descriptor, buffer.baseAddress, wanted) } while result < 0 && errno == EINTR
        count = max(0, result)
      }
      guard result >= 0 else { throw .unreadable }
      guard result > 0 else { break }
      if bytes.isEmpty { bytes = piece } else { bytes += piece }
      guard bytes.count <= limit else { throw .tooLarge }
      block = 1 << 16
    }
    return bytes
  }
}

/// A file's identity (device and inode), the same for all paths to it.
struct FileIdentity: Hashable, Sendable {
  var device: UInt64
  var node: UInt64

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    node = UInt64(status.st_ino)
  }
}
