import Foundation
import Support

/// A checkpoint's file, open for reading.
package final class ShardFile: Sendable {
  private let descriptor: Int32
  /// The descriptor for direct I/O; -1 where it is not used or the file system does not support it.
  private let direct: Int32
  private let path: String

  /// - Parameter isLarge: whether to read by direct I/O.
  package init(path: String, isLarge: Bool = false) throws {
    descriptor = Self.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError("open", path) }
    direct = isLarge ? Self.open(path, O_RDONLY | O_CLOEXEC | __O_DIRECT) : -1
    self.path = path
  }

  /// `open(2)`, which raises the soft limit of open files if needed: a checkpoint of many ranks may have more shards.
  private static func open(_ path: String, _ flags: Int32) -> Int32 {
    let descriptor = Foundation.open(path, flags)
    guard descriptor < 0, errno == EMFILE else { return descriptor }
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else {
      errno = EMFILE
      return descriptor
    }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Foundation.open(path, flags)
  }

  deinit {
    close(descriptor)
    if direct >= 0 { close(direct) }
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < buffer.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw systemError("read", path) }
      guard count > 0 else { throw FormatError("the file ends within it") }
      done += count
    }
  }
}

extension ShardFile {
  /// The min size of a direct read.
  private static let directBytes = 64 << 10

  /// Reads into `memory`, by direct I/O if the range is large: ranks usually read different chunks, so caching them is
  /// no use.
  ///
  /// - Returns: the bytes, somewhere in `memory`.
  func read(_ count: Int, at offset: Int, in memory: GrowingBuffer) throws -> UnsafeRawBufferPointer {
    let lead = offset % DirectMemory.alignment
    let start = offset - lead
    let room = memory.grown(to: DirectMemory.roundUp(lead + count))
    var done = 0
    while direct >= 0, count >= Self.directBytes, done < lead + count, done % DirectMemory.alignment == 0 {
      let rest = UnsafeMutableRawBufferPointer(rebasing: room[done...])
      let count = pread(direct, rest.baseAddress, rest.count, off_t(start + done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }  // buffered reading may work, or report the error
      done += count
    }
    if done < lead + count {
      try read(into: UnsafeMutableRawBufferPointer(rebasing: room[done..<lead + count]), at: start + done)
    }
    return UnsafeRawBufferPointer(rebasing: room[lead..<lead + count])
  }

  /// Reads a whole small file.
  static func contents(_ path: String) throws -> [UInt8] {
    let file = try ShardFile(path: path)
    var status = stat()
    guard fstat(file.descriptor, &status) == 0 else { throw systemError("read", path) }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
    return bytes
  }
}

/// A thread's buffers for reading chunks, with prefetching: the next ones are read, in order, while one is decoded.
final class ReadBuffers {
  /// The max chunks to prefetch.
  static let ahead = 2

  let decoder = ChunkDecoder()
  let elements = GrowingBuffer()
  private let queue = SerialWorker(name: "read")
  private let slots = (0...ahead).map { _ in Slot() }
  private var begun = 0
  private var taken = 0

  /// Shared with the queue until `done`.
  private final class Slot: @unchecked Sendable {
    let memory = GrowingBuffer()
    let done = DispatchSemaphore(value: 0)
    var result: Result<UnsafeRawBufferPointer, any Error> = .failure(FormatError("nothing was fetched"))
  }

  /// Starts a read into the memory that the closure receives.
  func fetch(_ read: @escaping @Sendable (GrowingBuffer) throws -> UnsafeRawBufferPointer) {
    precondition(begun - taken < Self.ahead)
    let slot = slots[begun % slots.count]
    begun += 1
    queue.submit {
      slot.result = Result { try read(slot.memory) }
      slot.done.signal()
    }
  }

  /// Waits for the earliest read that was not taken; its bytes are valid until the next call.
  func take() -> Result<UnsafeRawBufferPointer, any Error> {
    let slot = slots[taken % slots.count]
    taken += 1
    slot.done.wait()
    return slot.result
  }
}

/// A reusable buffer that grows, aligned for every element type and for direct I/O.
final class GrowingBuffer {
  private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  deinit { memory.deallocate() }

  func grown(to count: Int) -> UnsafeMutableRawBufferPointer {
    if memory.count < count {
      memory.deallocate()
      memory = DirectMemory.allocate(byteCount: count)
    }
    return UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
  }
}
