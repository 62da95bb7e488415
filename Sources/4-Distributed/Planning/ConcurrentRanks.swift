import Foundation
import Support
import Synchronization

/// Threads that model the ranks of a node: they run the same work concurrently, so that measurements include shared
/// memory bandwidth and clock speed.
final class ConcurrentRanks: Sendable {
  let count: Int
  private let arrived = Atomic<Int>(0)
  private let stops = Atomic<Bool>(false)

  private init(_ count: Int) { self.count = count }

  /// Runs `body` on `count` new threads and returns their results, in the order of completion.
  ///
  /// - Throws: `ForgeError.tryAgain` when the system does not start them all; `body` is not run then.
  static func run<Result: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (ConcurrentRanks, _ index: Int) -> Result
  ) throws(ForgeError) -> [Result] {
    let ranks = ConcurrentRanks(count)
    let results = Mutex<[Result]>([])
    let (all, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    for index in 0..<count {
      do throws(ForgeError) {
        try SystemThread.start(name: "rank \(index)") {
          all.wait()
          guard !ranks.stops.load(ordering: .acquiring) else { return }
          let result = body(ranks, index)
          results.withLock { $0.append(result) }
          done.signal()
        }
      } catch {
        ranks.stops.store(true, ordering: .releasing)
        for _ in 0..<index { all.signal() }
        throw error
      }
    }
    for _ in 0..<count { all.signal() }
    for _ in 0..<count { done.wait() }
    return results.withLock { $0 }
  }

  /// A barrier of all threads.
  func meet() {
    let target = (arrived.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue + count - 1) / count * count
    while arrived.load(ordering: .acquiring) < target { sched_yield() }
  }

  /// Repeats `body` on all threads until thread 0 has run it `minimum` times and for `seconds`, or `maximum` times; returns
  /// the median of each of its results on this thread.
  func median(
    index: Int, seconds: Double, minimum: Int = 3, maximum: Int = 50, _ body: () -> [Double]
  ) -> [Double] {
    _ = body()
    meet()
    if index == 0 { stops.store(false, ordering: .releasing) }
    meet()
    let start = ContinuousClock.now
    var samples: [[Double]] = []
    while true {
      samples.append(body())
      if index == 0,
        samples.count >= maximum || ((ContinuousClock.now - start) / .seconds(1) > seconds && samples.count >= minimum)
      {
        stops.store(true, ordering: .releasing)
      }
      if stops.load(ordering: .acquiring) { break }
    }
    meet()
    return samples[0].indices.map { part in
      let sorted = samples.map { $0[part] }.sorted()
      return sorted[sorted.count / 2]
    }
  }

  /// As `median`, of the time of `body`, seconds.
  func medianSeconds(index: Int, seconds: Double = 0.1, _ body: () -> Void) -> Double {
    median(index: index, seconds: seconds) {
      let start = ContinuousClock.now
      body()
      return [(ContinuousClock.now - start) / .seconds(1)]
    }[0]
  }
}
