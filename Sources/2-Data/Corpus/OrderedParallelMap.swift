import Dispatch
import Support
import Synchronization

/// A parallel map with ordered results: a function applied to a sequence's elements on several threads.
///
/// At most `window` results are in progress or waiting, so memory is bounded however long the sequence is. The threads
/// start with the iteration and end with it, also when it is abandoned. When the system starts fewer threads, those do
/// the work, and when it starts none, the consumer's thread does.
struct OrderedParallelMap<Inputs: Sequence & Sendable, Output: Sendable>: Sequence where Inputs.Element: Sendable {
  var inputs: Inputs
  var threads: Int
  var transform: @Sendable (_ ordinal: Int, _ input: Inputs.Element) -> Output

  func makeIterator() -> Iterator { Iterator(self) }

  final class Iterator: IteratorProtocol {
    private let workers: Workers
    private var delivered = 0
    private let hasThreads: Bool

    init(_ map: OrderedParallelMap) {
      workers = Workers(inputs: map.inputs.makeIterator(), window: 4 * map.threads, transform: map.transform)
      let workers = workers
      hasThreads = (try? SystemThread.start { workers.run() }) != nil
      guard hasThreads else { return }
      for _ in 1..<map.threads {
        guard (try? SystemThread.start { workers.run() }) != nil else { break }
      }
    }

    deinit { workers.stop() }

    func next() -> Output? {
      guard hasThreads else { return workers.nextResult() }
      guard let output = workers.result(of: delivered) else { return nil }
      delivered += 1
      return output
    }
  }
}

extension OrderedParallelMap {
  /// The state that the threads share: the inputs behind a lock, and a ring of results.
  private final class Workers: Sendable {
    private struct State {
      var inputs: Inputs.Iterator
      var taken = 0
      var isStopped = false
      /// The result of ordinal `i` is at `i % window`.
      var results: [Output?]
    }

    private let state: Mutex<State>
    private let window: Int
    private let transform: @Sendable (Int, Inputs.Element) -> Output
    /// Signalled once for every free slot of the ring.
    private let free = DispatchSemaphore(value: 0)
    /// Signalled when the slot has its result, or when there will be none.
    private let ready: [DispatchSemaphore]

    init(
      inputs: sending Inputs.Iterator, window: Int, transform: @escaping @Sendable (Int, Inputs.Element) -> Output
    ) {
      self.window = window
      self.transform = transform
      state = Mutex(State(inputs: inputs, results: Array(repeating: nil, count: window)))
      ready = (0..<window).map { _ in DispatchSemaphore(value: 0) }
      for _ in 0..<window { free.signal() }
    }

    /// One thread's work, until the inputs end.
    func run() {
      while true {
        free.wait()
        guard let (ordinal, input) = takeInput() else { return }
        let output = transform(ordinal, input)
        state.withLock { $0.results[ordinal % window] = output }
        ready[ordinal % window].signal()
      }
    }

    /// Waits for the result of an ordinal, which must be called in order; nil after the last.
    func result(of ordinal: Int) -> Output? {
      ready[ordinal % window].wait()
      let output = state.withLock { $0.results[ordinal % window].take() }
      // A further call returns nil again.
      if output == nil { ready[ordinal % window].signal() } else { free.signal() }
      return output
    }

    /// Computes the next result on the caller's thread.
    func nextResult() -> Output? { takeInput().map { transform($0.0, $0.1) } }

    func stop() {
      state.withLock { $0.isStopped = true }
      free.signal()
    }

    private func takeInput() -> (Int, Inputs.Element)? {
      state.withLock { state in
        if !state.isStopped, let input = state.inputs.next() {
          state.taken += 1
          return (state.taken - 1, input)
        }
        if !state.isStopped { ready[state.taken % window].signal() }
        state.isStopped = true
        // Wakes the next thread, which ends in the same way.
        free.signal()
        return nil
      }
    }
  }
}
