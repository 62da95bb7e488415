import MPI
import Support

/// A thread of its own that does one piece of work after another, in the order they are submitted, and sleeps on a
/// condition variable when there is none.
///
/// Blocking MPI calls need it: a task on Swift's thread pool must not block.
public final class SerialThread<Work: Sendable>: Sendable {
  private let state: State

  /// Starts the thread, which runs `body` with each piece of work.
  ///
  /// - Parameter isUrgent: whether it mostly waits for other ranks, and they for it (``ThreadTurns``).
  /// - Throws: `ForgeError.tryAgain` when the system starts no further thread.
  public convenience init(isUrgent: Bool = false, _ body: @escaping @Sendable (Work) throws -> Void) throws(ForgeError)
  {
    try self.init(isUrgent: isUrgent, lookingAhead: { work, _ in try body(work) })
  }

  /// As above, for work that can be begun before the work in front of it is done.
  ///
  /// - Parameter body: also takes a function that returns the work that is next, once it was submitted.
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
      state.hasEnded = true  // nobody waits for what never began
      throw error
    }
  }

  /// Ends the thread. One that is still busy, because an error is taking the job down, is left behind with everything
  /// its body holds: it may be blocked in MPI until the job has ended.
  deinit {
    state.monitor.locked {
      state.isEnding = true
      state.monitor.broadcast()
      while !state.hasEnded && !state.isBusy { state.monitor.wait() }
    }
  }

  /// Adds work.
  ///
  /// - Returns: its number in the order of submission, to wait for.
  @discardableResult
  public func submit(_ work: Work) -> Int {
    state.monitor.locked {
      state.queue.append(work)
      state.submitted += 1
      state.monitor.broadcast()
      return state.submitted
    }
  }

  /// Whether `wait` would return, or throw, at once.
  public func isDone(_ number: Int) -> Bool {
    state.monitor.locked { state.completed >= number || state.error != nil }
  }

  /// Returns when the work with this number, and so all before it, is done.
  ///
  /// - Throws: the first error thrown by any work; nothing is done after it.
  public func wait(for number: Int) throws {
    try state.monitor.locked {
      while state.completed < number && state.error == nil { state.monitor.wait() }
      if let error = state.error { throw error }
    }
  }

  /// What the thread and its owner share; everything that changes is guarded by `monitor`, hence `@unchecked`.
  private final class State: @unchecked Sendable {
    // Let go when the thread ends, while its owner still waits: what it holds must not outlive MPI.
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

    /// What the thread does, all its life.
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

    /// The next work, once there is some; nil when the thread is to end.
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

    /// The work that `next` will return when it is called again, if there is some.
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
          queue.removeAll(keepingCapacity: true)  // so that a step allocates nothing
          nextIndex = 0
        }
        monitor.broadcast()
      }
    }
  }
}
