import Dispatch
import Synchronization

/// A buffered, asynchronous writer of a file: a thread of its own writes blocks in order while the next bytes are
/// encoded.
///
/// Blocks are written at multiples of their size and from aligned memory, as ``PosixFiles`` requires for direct I/O.
final class SequentialFile {
  /// The default block size: large enough for the disk; a file has ``blockCount`` of them in memory.
  static let defaultBlockBytes = 2 << 20
  private static let blockCount = 4

  let path: String
  /// Bytes appended so far.
  private(set) var end = 0

  private let files: any FileOperations
  private let file: OpenFile
  private let blockBytes: Int
  private let blocks: [UnsafeMutableRawBufferPointer]
  private let queue = SerialWorker(name: "write")
  /// Counts the free blocks besides the one being filled.
  private let written = DispatchSemaphore(value: blockCount - 1)
  private let failure = Failure()
  private var isOpen = true

  /// The first error of the writing thread, after which nothing is written.
  private final class Failure: Sendable {
    private let error = Mutex<(any Error)?>(nil)

    func check() throws { if let error = error.withLock({ $0 }) { throw error } }

    func keeping(_ body: () throws -> Void) {
      do {
        try check()
        try body()
      } catch { self.error.withLock { $0 = error } }
    }
  }

  /// - Throws: `ForgeError.tryAgain` when the file cannot be created.
  init(path: String, files: any FileOperations, blockBytes: Int = defaultBlockBytes) throws {
    self.path = path
    self.files = files
    file = try files.create(path)
    self.blockBytes = blockBytes
    blocks = (0..<Self.blockCount).map { _ in DirectMemory.allocate(byteCount: blockBytes) }
  }

  deinit {
    queue.wait()
    if isOpen { try? files.close(file) }
    for block in blocks { block.deallocate() }
  }

  /// Appends a copy of the bytes; waits for the disk when all blocks are full.
  ///
  /// - Throws: the first error of writing these or earlier bytes.
  func append(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let filled = end % blockBytes
      let part = rest.prefix(blockBytes - filled)
      UnsafeMutableRawBufferPointer(rebasing: block[filled...]).copyMemory(from: .init(rebasing: part))
      rest = rest.dropFirst(part.count)
      end += part.count
      if end % blockBytes == 0 {
        write(blocks[(end / blockBytes - 1) % Self.blockCount], blockBytes, at: end - blockBytes)
        written.wait()
        try failure.check()
      }
    }
  }

  /// Writes the rest, syncs the file unless it is empty, and closes it.
  func finish() throws {
    let filled = end % blockBytes
    if filled > 0 {
      write(block, filled, at: end - filled)
      written.wait()
    }
    queue.wait()
    try failure.check()
    if end > 0 { try files.synchronize(file) }
    isOpen = false
    try files.close(file)
  }

  /// The block that is being filled.
  private var block: UnsafeMutableRawBufferPointer { blocks[end / blockBytes % Self.blockCount] }

  private func write(_ block: UnsafeMutableRawBufferPointer, _ count: Int, at offset: Int) {
    // Shared with the thread that fills blocks, which reuses this one only after it is written.
    nonisolated(unsafe) let bytes = UnsafeRawBufferPointer(rebasing: block[..<count])
    queue.submit { [files, file, failure, written] in
      failure.keeping { try files.write(bytes, to: file, at: offset) }
      written.signal()
    }
  }
}
