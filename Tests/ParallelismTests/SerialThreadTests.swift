import Synchronization
import Testing

@testable import Parallelism

@Suite struct SerialThreadTests {
  @Test func worksInOrder() throws {
    let done = Mutex<[Int]>([])
    let thread = try SerialThread<Int> { work in done.withLock { $0.append(work) } }
    for round in 0..<3 {
      let last = (0..<100).map { thread.submit(round * 100 + $0) }.last!
      try thread.wait(for: last)
      #expect(done.withLock { $0 } == Array(0..<(round + 1) * 100))
    }
  }

  @Test func whatIsDoneNeedNotBeWaitedFor() throws {
    let gate = Mutex(())
    let thread = try SerialThread<Int> { _ in gate.withLock { _ in } }
    let numbers = gate.withLock { _ in
      let numbers = [1, 2].map { thread.submit($0) }
      #expect(thread.isDone(0) && !thread.isDone(numbers[0]))
      return numbers
    }
    try thread.wait(for: numbers[1])
    #expect(thread.isDone(numbers[0]) && thread.isDone(numbers[1]) && !thread.isDone(numbers[1] + 1))
  }

  @Test func workKnowsWhatFollows() throws {
    let gate = Mutex(())
    let seen = Mutex<[Int?]>([])
    let thread = try SerialThread<Int>(lookingAhead: { _, following in
      gate.withLock { _ in }
      let next = following()
      seen.withLock { $0.append(next) }
    })
    let last = gate.withLock { _ in (1...3).map { thread.submit($0) }.last! }
    try thread.wait(for: last)
    #expect(seen.withLock { $0 } == [2, 3, nil])
  }

  @Test func anErrorReachesWhoWaitsAndEndsTheWork() throws {
    struct Failure: Error {}
    let done = Mutex<[Int]>([])
    let thread = try SerialThread<Int> { work in
      if work == 2 { throw Failure() }
      done.withLock { $0.append(work) }
    }
    let last = [1, 2, 3].map { thread.submit($0) }.last!
    #expect(throws: Failure.self) { try thread.wait(for: last) }
    #expect(thread.isDone(last))  // so that a caller that polls then waits, and gets the error
    #expect(throws: Failure.self) { try thread.wait(for: thread.submit(4)) }
    #expect(done.withLock { $0 } == [1])
  }

  @Test func aThreadThatIsBusyIsLeftBehind() throws {
    let gate = Mutex(())
    let started = Atomic(false)
    try gate.withLock { _ in
      do {
        let thread = try SerialThread<Int> { _ in
          started.store(true, ordering: .releasing)
          gate.withLock { _ in }
        }
        thread.submit(1)
        while !started.load(ordering: .acquiring) {}
      }
      // Reaching this line is the test: the thread cannot have ended.
    }
  }
}
