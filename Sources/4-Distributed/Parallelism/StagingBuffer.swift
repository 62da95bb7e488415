import Checkpoints
import Kernels

/// Staging buffer of asynchronous checkpoints: a copy of a rank's part of the state, which is written while training
/// changes the original.
///
/// Its pages are touched once, in `init`, so that a copy costs no page faults.
final class StagingBuffer {
  private let memory: Arena<UInt8>
  private let backend: Backend

  init(byteCount: Int, backend: Backend) {
    memory = Arena(count: byteCount)
    self.backend = backend
    memory.buffer.fill(0)
  }

  /// Copies the memory of the pieces.
  ///
  /// - Returns: the same pieces in the copy, valid until the next call.
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
    // One long range per thread: memcpy of large blocks bypasses the caches.
    let threads = backend.team.count
    // The threads write disjoint ranges, which the compiler cannot verify.
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
