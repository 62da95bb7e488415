import CKernels
import Support
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A thread pool of fixed size that runs the tasks of one loop at a time.
///
/// Tasks are scheduled dynamically, from a counter, so the thread of a task depends on timing; its result must not.
/// Kernels partition work into tasks by shape, never by `count`, so that results do not depend on the number of
/// threads. Workers spin briefly after a loop, since the next one usually follows within microseconds, and then sleep.
public final class ThreadTeam: Sendable {
  /// Threads, including the caller's: fewer than requested where the system starts no more.
  public let count: Int
  /// The error that left the team with fewer threads than requested; else nil.
  public let shortage: ForgeError?
  private let state: State?

  /// The workers' shared state, which they retain until the last one ends.
  private final class State: Sendable {
    let generation = Atomic<Int>(0)
    let next = Atomic<Int>(0)
    let running = Atomic<Int>(0)
    let asleep = Atomic<Int>(0)
    let stopped = Atomic<Bool>(false)
    // The loop in progress: written by the caller before it releases `generation`, read by workers after they acquire
    // it.
    nonisolated(unsafe) var body: (@Sendable (_ task: Int, _ thread: Int) -> Void)?
    nonisolated(unsafe) var tasks = 0
    nonisolated(unsafe) let mutex: UnsafeMutablePointer<pthread_mutex_t>
    nonisolated(unsafe) let wake: UnsafeMutablePointer<pthread_cond_t>

    init() {
      mutex = .allocate(capacity: 1)
      wake = .allocate(capacity: 1)
      pthread_mutex_init(mutex, nil)
      pthread_cond_init(wake, nil)
    }

    deinit {
      pthread_cond_destroy(wake)
      pthread_mutex_destroy(mutex)
      wake.deallocate()
      mutex.deallocate()
    }

    func run(thread: Int) {
      guard let body else { return }
      while true {
        let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if task >= tasks { return }
        body(task, thread)
      }
    }

    func work(thread: Int) {
      ck_flush_denormals()
      var seen = 0
      while true {
        var spins = 0
        while generation.load(ordering: .acquiring) == seen {
          spins += 1
          if spins > 20_000 { sleep(whileGenerationIs: seen) }
        }
        seen = generation.load(ordering: .acquiring)
        if stopped.load(ordering: .acquiring) { return }
        run(thread: thread)
        running.wrappingSubtract(1, ordering: .acquiringAndReleasing)
      }
    }

    private func sleep(whileGenerationIs seen: Int) {
      pthread_mutex_lock(mutex)
      asleep.wrappingAdd(1, ordering: .sequentiallyConsistent)
      while generation.load(ordering: .sequentiallyConsistent) == seen { pthread_cond_wait(wake, mutex) }
      asleep.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      pthread_mutex_unlock(mutex)
    }

    func announce() {
      generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if asleep.load(ordering: .sequentiallyConsistent) > 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
      }
    }
  }

  /// - Parameter count: threads, at least 1; the calling thread is one of them.
  public init(count: Int) {
    precondition(count >= 1)
    ck_flush_denormals()
    let state = State()
    var started = 1
    var shortage: ForgeError?
    while started < count, shortage == nil {
      do throws(ForgeError) {
        try SystemThread.start(name: "compute") { [started] in state.work(thread: started) }
        started += 1
      } catch { shortage = error }
    }
    self.count = started
    self.shortage = shortage
    self.state = started > 1 ? state : nil
  }

  deinit {
    state?.stopped.store(true, ordering: .releasing)
    state?.announce()
  }

  /// Runs `body(task, thread)` once for every task in `0..<tasks` and returns when all are done. `thread`, in
  /// `0..<count`, selects the scratch memory. Not reentrant; one caller at a time.
  public func forEach(_ tasks: Int, _ body: @Sendable (_ task: Int, _ thread: Int) -> Void) {
    guard let state, tasks > 1 else {
      for task in 0..<tasks { body(task, 0) }
      return
    }
    withoutActuallyEscaping(body) { body in
      state.body = body
      state.tasks = tasks
      state.next.store(0, ordering: .relaxed)
      state.running.store(count - 1, ordering: .relaxed)
      state.announce()
      state.run(thread: 0)
      var spins = 0
      while state.running.load(ordering: .acquiring) > 0 {
        spins += 1
        if spins > 20_000 { sched_yield() }
      }
      state.body = nil
    }
  }

  /// Splits `0..<count` into chunks of `size` and runs `body(range, thread)` for each. `size` must not depend on the
  /// number of threads where it can change a result.
  public func forEachChunk(of count: Int, size: Int, _ body: @Sendable (_ range: Range<Int>, _ thread: Int) -> Void) {
    forEach((count + size - 1) / size) { task, thread in
      body(task * size..<min(count, (task + 1) * size), thread)
    }
  }

  /// Runs `body(group, task, thread)` for every task of several groups, `counts` of them, as one loop.
  func forEach(grouped counts: [Int], _ body: @Sendable (_ group: Int, _ task: Int, _ thread: Int) -> Void) {
    var sum = 0
    let starts = counts.map { count in
      defer { sum += count }
      return sum
    }
    forEach(sum) { task, thread in
      // The last group that begins at or before this task.
      var (low, high) = (0, counts.count)
      while high - low > 1 {
        let middle = (low + high) / 2
        if starts[middle] <= task { low = middle } else { high = middle }
      }
      body(low, task - starts[low], thread)
    }
  }
}
