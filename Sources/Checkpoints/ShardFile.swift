import Diagnostics
import Foundation

/// A file of a checkpoint that is open for reading.
package final class ShardFile: Sendable {
  private let descriptor: Int32
  private let path: String

  package init(path: String) throws {
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError("open", path) }
    self.path = path
  }

  deinit { close(descriptor) }

  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < buffer.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw systemError("read", path) }
      guard count > 0 else { throw Defect("the file ends within it") }
      done += count
    }
  }
}

extension ShardFile {
  /// The whole of a small file.
  static func contents(_ path: String) throws -> [UInt8] {
    let file = try ShardFile(path: path)
    var status = stat()
    guard fstat(file.descriptor, &status) == 0 else { throw systemError("read", path) }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
    return bytes
  }
}

/// What one thread needs while it reads chunks.
final class ReadBuffers {
  let decoder = ChunkDecoder()
  let stored = GrowingBuffer()
  let elements = GrowingBuffer()
}

/// Memory that is aligned for every element type and is kept from chunk to chunk.
final class GrowingBuffer {
  private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  deinit { memory.deallocate() }

  func grown(to count: Int) -> UnsafeMutableRawBufferPointer {
    if memory.count < count {
      memory.deallocate()
      memory = .allocate(byteCount: count, alignment: 64)
    }
    return UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
  }
}
