import Dispatch
import Synchronization

/// Runs `body(worker, index)` for every index below `count` on up to `threads` threads and waits for the last.
///
/// A worker takes the next index whenever it has finished one, so which worker gets which index is not determined;
/// no two calls with the same worker number run at once.
func concurrently(count: Int, threads: Int, _ body: (_ worker: Int, _ index: Int) -> Void) {
  let workers = max(1, min(threads, count))
  if workers == 1 {
    for index in 0..<count { body(0, index) }
    return
  }
  let next = Atomic(0)
  // Safe to share: every call is over when `concurrentPerform` returns, and callers write to one element per worker
  // or index.
  nonisolated(unsafe) let body = body
  DispatchQueue.concurrentPerform(iterations: workers) { worker in
    while case let index = next.add(1, ordering: .relaxed).oldValue, index < count { body(worker, index) }
  }
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
