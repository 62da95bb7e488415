import Support
import Synchronization

/// A parallel for loop: runs `body(worker, index)` for every index below `count` on up to `threads` threads and waits
/// for the last. Uses fewer when the system starts no more.
///
/// A worker takes the next index whenever it has finished one, so which worker gets which index is not determined;
/// no two calls with the same worker number run at once.
func concurrently(count: Int, threads: Int, _ body: (_ worker: Int, _ index: Int) -> Void) {
  let workers = max(1, min(threads, count))
  if workers == 1 {
    for index in 0..<count { body(0, index) }
    return
  }
  let next = Counter()
  withoutActuallyEscaping(body) { body in
    // Safe to share: every thread is joined before this returns, and callers write to one element per worker or index.
    nonisolated(unsafe) let body = body
    let run: @Sendable (Int) -> Void = { worker in
      while case let index = next.take(), index < count { body(worker, index) }
    }
    var started: [SystemThread] = []
    for worker in 1..<workers {
      guard let thread = try? SystemThread({ run(worker) }) else { break }
      started.append(thread)
    }
    run(0)
    for thread in started { thread.join() }
  }
}

/// An atomic counter of indices.
private final class Counter: Sendable {
  private let next = Atomic(0)

  func take() -> Int { next.add(1, ordering: .relaxed).oldValue }
}

/// A buffer whose elements are each touched by one thread only.
struct DisjointElements<Element> {
  private let buffer: UnsafeMutableBufferPointer<Element>

  init(_ buffer: UnsafeMutableBufferPointer<Element>) { self.buffer = buffer }

  subscript(index: Int) -> Element {
    get { buffer[index] }
    nonmutating _modify { yield &buffer[index] }
  }
}
