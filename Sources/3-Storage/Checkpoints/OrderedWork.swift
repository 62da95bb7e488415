import Foundation
import Support

/// Hands the numbers 0 ..< `count` to several threads and lets them deliver their results in that order.
///
/// A number is always taken by a thread that is running, and the thread with the lowest undelivered one waits for
/// nobody; so this cannot deadlock, however few threads the system gives.
final class OrderedWork {
  private let count: Int
  private let condition = NSCondition()
  private var taken = 0
  private var delivered = 0
  private var failure: (any Error)?

  init(count: Int) { self.count = count }

  /// The next number; nil when all are taken or something failed.
  func take() -> Int? {
    condition.withLock {
      guard taken < count, failure == nil else { return nil }
      defer { taken += 1 }
      return taken
    }
  }

  /// Waits until everything before `index` is delivered and runs `body`; skips it after a failure.
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

  /// Stops the work; the first failure is the one reported.
  func fail(_ error: any Error) {
    condition.withLock {
      failure = failure ?? error
      condition.broadcast()
    }
  }

  /// Runs `worker`, with its own number below `threads`, on the caller's and up to `threads` - 1 further threads, as far
  /// as the system starts them, until each of them returns, and throws what failed.
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
      shared.worker = nil  // a thread that has not quite ended keeps only what holds it
    }
    if let failure { throw failure }
  }
}

/// A worker on several threads, shared on purpose: they meet only in ``OrderedWork``'s methods, and all have returned from it
/// before it is taken away.
private final class SharedWorker: @unchecked Sendable {
  var worker: ((Int) -> Void)?

  init(_ worker: @escaping (Int) -> Void) { self.worker = worker }

  func run(_ number: Int) { worker?(number) }
}
