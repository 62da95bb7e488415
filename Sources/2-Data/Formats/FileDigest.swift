import Glibc
import Support

/// The chunk hashes of a file: SHA-256 of every `chunkByteCount` bytes; the last chunk may be shorter.
///
/// So a part of a large file can be verified without reading the rest.
public struct FileDigest: Codable, Sendable, Equatable {
  /// The file's size.
  public var byteCount: Int
  /// One hash a chunk, in hexadecimal; none for an empty file.
  public var chunks: [String]

  enum CodingKeys: String, CodingKey {
    case byteCount = "bytes"
    case chunks = "sha256"
  }

  public static let standardChunkByteCount = 64 << 20

  public init(byteCount: Int, chunks: [String]) {
    self.byteCount = byteCount
    self.chunks = chunks
  }

  /// How many chunks a file of `byteCount` bytes has.
  public static func chunkCount(of byteCount: Int, chunkByteCount: Int) -> Int {
    byteCount / chunkByteCount + (byteCount % chunkByteCount == 0 ? 0 : 1)
  }

  /// Hashes a range of a file, by `pread` rather than a mapping, so that an unreadable sector is an error and not a
  /// signal.
  ///
  /// - Throws: `ForgeError.badInput` when the file cannot be opened or is shorter, `tryAgain` when reading fails.
  public static func hash(path: String, bytes range: Range<Int>) throws -> SHA256.Digest {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw ForgeError.badInput(
        "cannot read '\(path)': \(systemMessage())", code: .system(errno, else: .fileUnreadable))
    }
    defer { close(descriptor) }
    var hash = SHA256()
    let capacity = min(max(1, range.count), 1 << 20)
    try withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 64) { buffer in
      var offset = range.lowerBound
      while offset < range.upperBound {
        let count = pread(descriptor, buffer.baseAddress, min(capacity, range.upperBound - offset), offset)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else {
          throw ForgeError.tryAgain(
            "cannot read '\(path)': \(systemMessage())", code: .system(errno, else: .fileUnreadable))
        }
        guard count > 0 else {
          throw ForgeError.badInput(
            "'\(path)' ends at byte \(offset): it is shorter than it was a moment ago", code: .fileDamaged)
        }
        hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        offset += count
      }
    }
    return hash.finalize()
  }
}

/// A streaming hasher of a file's chunks.
public final class ChunkHasher {
  private let chunkByteCount: Int
  private var hash = SHA256()
  private var inChunk = 0
  private var digest = FileDigest(byteCount: 0, chunks: [])

  public init(chunkByteCount: Int = FileDigest.standardChunkByteCount) {
    precondition(chunkByteCount > 0)
    self.chunkByteCount = chunkByteCount
  }

  public func update(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let count = min(rest.count, chunkByteCount - inChunk)
      hash.update(UnsafeRawBufferPointer(rebasing: rest[..<count]))
      inChunk += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      if inChunk == chunkByteCount { endChunk() }
    }
    digest.byteCount += bytes.count
  }

  /// The digest of all bytes passed to `update`.
  public func finalize() -> FileDigest {
    if inChunk > 0 { endChunk() }
    return digest
  }

  private func endChunk() {
    var fresh = SHA256()
    swap(&fresh, &hash)
    digest.chunks.append(fresh.finalize().hexadecimal)
    inChunk = 0
  }
}
