import MPI
import Support

/// A serial work queue on a dedicated thread: runs work in the order of submission, and sleeps on a condition variable
/// when the queue is empty.
///
/// Blocking MPI calls need it: a task on Swift's thread pool must not block.
public final class SerialThread<Work: Sendable>: Sendable {
  private let state: State

  /// Starts the thread, which calls `body` with each work item.
  ///
  /// - Parameter isUrgent: whether it mostly waits for other ranks, and they for it; then its time slices are short
  ///   (``ThreadTurns``).
  /// - Throws: `ForgeError.tryAgain` when the system starts no further thread.
  public convenience init(isUrgent: Bool = false, _ body: @escaping @Sendable (Work) throws -> Void) throws(ForgeError)
  {
    try self.init(isUrgent: isUrgent, lookingAhead: { work, _ in try body(work) })
  }

  /// As above, for work that can start before the preceding work is done.
  ///
  /// - Parameter body: also gets a function that returns the next work, once submitted.
  public init(
    isUrgent: Bool = false, lookingAhead body: @escaping @Sendable (Work, _ following: () -> Work?) throws -> Void
  ) throws(ForgeError) {
    let state = State(body)
    self.state = state
    do throws(ForgeError) {
      try SystemThread.start(name: "serial") {
        if isUrgent { ThreadTurns.beShort() }
        state.run()
      }
    } catch {
      state.hasEnded = true  // deinit must not wait for it
      throw error
    }
  }

  /// Ends the thread. One that is still busy, because an error is ending the job, is leaked with everything its body
  /// holds: it may be blocked in MPI until the job has ended.
  deinit {
    state.monitor.locked {
      state.isEnding = true
      state.monitor.broadcast()
      while !state.hasEnded && !state.isBusy { state.monitor.wait() }
    }
  }

  /// Enqueues work.
  ///
  /// - Returns: its submission number, to wait for.
  @discardableResult
  public func submit(_ work: Work) -> Int {
    state.monitor.locked {
      state.queue.append(work)
      state.submitted += 1
      state.monitor.broadcast()
      return state.submitted
    }
  }

  /// Whether `wait` would return or throw without waiting.
  public func isDone(_ number: Int) -> Bool {
    state.monitor.locked { state.completed >= number || state.error != nil }
  }

  /// Waits until the work with this number, and all before it, is done.
  ///
  /// - Throws: the first error of any work; no work runs after it.
  public func wait(for number: Int) throws {
    try state.monitor.locked {
      while state.completed < number && state.error == nil { state.monitor.wait() }
      if let error = state.error { throw error }
    }
  }

  /// The state shared by the thread and its owner, guarded by `monitor`, hence `@unchecked`.
  private final class State: @unchecked Sendable {
    // Released when the thread ends, while its owner still waits: what it holds must not outlive MPI.
    var body: (@Sendable (Work, () -> Work?) throws -> Void)?
    let monitor = Monitor()
    var queue: [Work] = []
    var nextIndex = 0
    var submitted = 0
    var completed = 0
    var error: (any Error)?
    var isBusy = false
    var isEnding = false
    var hasEnded = false

    init(_ body: @escaping @Sendable (Work, () -> Work?) throws -> Void) {
      self.body = body
    }

    /// The thread's main loop.
    func run() {
      while let work = next() {
        do {
          try body?(work, following)
          finish(nil)
        } catch {
          finish(error)
        }
      }
    }

    /// Dequeues the next work, waiting for it; nil when the thread is to end.
    private func next() -> Work? {
      monitor.locked {
        while nextIndex == queue.count && !isEnding { monitor.wait() }
        guard !isEnding else {
          body = nil
          hasEnded = true
          monitor.broadcast()
          return nil
        }
        isBusy = true
        defer { nextIndex += 1 }
        return queue[nextIndex]
      }
    }

    /// The work that `next` will return, if submitted.
    private func following() -> Work? {
      monitor.locked { isEnding || nextIndex == queue.count ? nil : queue[nextIndex] }
    }

    private func finish(_ failure: (any Error)?) {
      monitor.locked {
        isBusy = false
        completed += 1
        if let failure {
          error = error ?? failure
          isEnding = true
        }
        if nextIndex == queue.count {
          queue.removeAll(keepingCapacity: true)  // so that a step reuses its memory
          nextIndex = 0
        }
        monitor.broadcast()
      }
    }
  }
}
