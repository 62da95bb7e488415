import Checkpoints
import Kernels

/// Memory for a copy of a rank's part of the state: training changes the original while the copy is being written.
///
/// Its pages are touched once, when it is made, so that taking a copy costs what copying memory costs.
final class StagingBuffer {
  private let memory: Arena<UInt8>
  private let backend: Backend

  init(byteCount: Int, backend: Backend) {
    memory = Arena(count: byteCount)
    self.backend = backend
    memory.buffer.fill(0)
  }

  /// Copies what the pieces point to.
  ///
  /// - Returns: the same pieces of the copy, valid until the next one is taken.
  func take(_ pieces: [ChunkWriter.Piece]) -> [ChunkWriter.Piece] {
    var copies: [ChunkWriter.Piece] = []
    var end = 0
    for piece in pieces {
      let room = UnsafeMutableRawBufferPointer(memory.buffer[end..<end + piece.bytes.count].pointer)
      copies.append(
        ChunkWriter.Piece(
          tensor: piece.tensor, elementOffset: piece.elementOffset, bytes: UnsafeRawBufferPointer(room)))
      end += piece.bytes.count
    }
    // One long stretch a thread: the system's copy of large blocks writes past the caches.
    let threads = backend.team.count
    // The threads write disjoint ranges, which the compiler cannot see.
    nonisolated(unsafe) let sources = pieces.map(\.bytes)
    let (memory, total) = (memory.buffer, end)
    backend.team.forEach(threads) { thread, _ in
      let mine = total * thread / threads..<total * (thread + 1) / threads
      var start = 0
      for source in sources {
        let part = (start..<start + source.count).clamped(to: mine)
        if !part.isEmpty {
          UnsafeMutableRawBufferPointer(memory[part].pointer).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: source[part.lowerBound - start..<part.upperBound - start]))
        }
        start += source.count
      }
    }
    return copies
  }
}
