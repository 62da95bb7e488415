import Foundation
import Support

/// Reads the last line of a file without the rest of it.
enum FileTail {
  /// The initial and the max bytes to read.
  private static let (first, maxBytes) = (4 << 10, 16 << 20)

  /// Parses the last complete line for which `parse` is not nil. A last line without a line feed does not count.
  ///
  /// - Returns: nil when there is none within the last 16 MiB.
  /// - Throws: `ForgeError.tryAgain` when the file cannot be read.
  static func last<Parsed>(of path: String, parse: (ArraySlice<UInt8>) -> Parsed?) throws -> Parsed? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw systemError("read", path) }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw systemError("read", path) }
    let size = Int(status.st_size)
    var window = Self.first
    while true {
      let start = max(0, size - window)
      let bytes = try read(file, path, start..<size)
      guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else {
        guard start > 0, window < Self.maxBytes else { return nil }
        window *= 4
        continue
      }
      var lines = bytes[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      if start > 0 { lines.removeFirst() }  // may be incomplete
      for line in lines.reversed() { if let parsed = parse(line) { return parsed } }
      guard start > 0, window < Self.maxBytes else { return nil }
      window *= 4
    }
  }

  private static func read(_ file: Int32, _ path: String, _ range: Range<Int>) throws -> [UInt8] {
    var failure: ForgeError?
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      while count < range.count {
        let read = pread(
          file, buffer.baseAddress.map { $0 + count }, range.count - count, off_t(range.lowerBound + count))
        if read < 0, errno == EINTR { continue }
        if read < 0 { failure = systemError("read", path) }
        guard read > 0 else { break }
        count += read
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
