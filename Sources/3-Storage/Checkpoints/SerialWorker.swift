import Foundation
import Support

/// A serial queue with a thread of its own; where the system starts none, closures run synchronously on the caller's.
final class SerialWorker {
  private let state = State()
  private let hasThread: Bool

  /// The state that the thread and its owner share, guarded by `condition`.
  private final class State: @unchecked Sendable {
    let condition = NSCondition()
    var queue: [@Sendable () -> Void] = []
    var unfinished = 0
    var isEnding = false

    /// The loop of the thread.
    func run() {
      while let body = next() {
        body()
        condition.withLock {
          unfinished -= 1
          condition.broadcast()
        }
      }
    }

    private func next() -> (@Sendable () -> Void)? {
      condition.withLock {
        while queue.isEmpty, !isEnding { condition.wait() }
        return queue.isEmpty ? nil : queue.removeFirst()
      }
    }
  }

  init(name: String) {
    hasThread = (try? SystemThread.start(name: name) { [state] in state.run() }) != nil
  }

  deinit {
    state.condition.withLock {
      state.isEnding = true
      state.condition.broadcast()
    }
  }

  func submit(_ body: @escaping @Sendable () -> Void) {
    guard hasThread else { return body() }
    state.condition.withLock {
      state.unfinished += 1
      state.queue.append(body)
      state.condition.broadcast()
    }
  }

  /// Waits until all submitted closures have run.
  func wait() {
    state.condition.withLock {
      while state.unfinished > 0 { state.condition.wait() }
    }
  }
}
