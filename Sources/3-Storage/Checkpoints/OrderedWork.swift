import Foundation
import Support

/// An ordered parallel loop: distributes the indices 0 ..< `count` to several threads, which deliver their results in
/// order.
///
/// Only running threads take an index, and the thread with the lowest undelivered one does not wait; so this cannot
/// deadlock at any number of threads.
final class OrderedWork {
  private let count: Int
  private let condition = NSCondition()
  private var taken = 0
  private var delivered = 0
  private var failure: (any Error)?

  init(count: Int) { self.count = count }

  /// Takes the next index; nil when all are taken or after a failure.
  func take() -> Int? {
    condition.withLock {
      guard taken < count, failure == nil else { return nil }
      defer { taken += 1 }
      return taken
    }
  }

  /// Waits until all results before `index` are delivered and runs `body`; skips it after a failure.
  func deliver(_ index: Int, _ body: () throws -> Void) {
    let isWanted = condition.withLock {
      while delivered < index, failure == nil { condition.wait() }
      return failure == nil
    }
    guard isWanted else { return }
    do {
      try body()
      condition.withLock {
        delivered += 1
        condition.broadcast()
      }
    } catch {
      fail(error)
    }
  }

  /// Stops the work; `run` throws the first failure.
  func fail(_ error: any Error) {
    condition.withLock {
      failure = failure ?? error
      condition.broadcast()
    }
  }

  /// Runs `worker`, with a thread's number below `threads`, on the caller's and up to `threads` - 1 further threads, as
  /// far as the system starts them, and waits for all. Throws the first failure.
  func run(threads: Int, _ worker: (Int) -> Void) throws {
    withoutActuallyEscaping(worker) { worker in
      let shared = SharedWorker(worker)
      let ended = DispatchSemaphore(value: 0)
      var started = 0
      while started + 1 < min(threads, count),
        (try? SystemThread.start(
          name: "checkpoint",
          { [started] in
            shared.run(started + 1)
            ended.signal()
          })) != nil
      { started += 1 }
      shared.run(0)
      for _ in 0..<started { ended.wait() }
      shared.worker = nil  // a thread that has not ended yet retains only the box
    }
    if let failure { throw failure }
  }
}

/// A worker that several threads share: they synchronise in ``OrderedWork``'s methods only, and all have returned from
/// it before it is cleared.
private final class SharedWorker: @unchecked Sendable {
  var worker: ((Int) -> Void)?

  init(_ worker: @escaping (Int) -> Void) { self.worker = worker }

  func run(_ number: Int) { worker?(number) }
}
