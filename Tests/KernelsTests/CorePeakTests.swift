import Foundation
import Synchronization
import Testing

@testable import Kernels

struct CorePeakTests {
  /// Other work on the machine takes wall-clock time, but not processor time.
  @Test func aBusyMachineHasTheSamePeak() {
    final class Others: Sendable { let areDone = Atomic(false) }
    let alone = Backend(threads: 2).corePeak()
    let others = Others()
    // Threads, which end with the test's process whatever happens.
    for _ in 0..<4 { Thread.detachNewThread { while !others.areDone.load(ordering: .relaxed) {} } }
    let busy = Backend(threads: 2).corePeak()
    others.areDone.store(true, ordering: .relaxed)
    #expect(alone > 0)
    #expect(busy > 0.5 * alone && busy < 2 * alone, "\(alone) alone, \(busy) beside others")
  }

  /// No float kernel is faster.
  @Test func productsAreSlower() {
    let backend = Backend(threads: 1)
    #expect(backend.matrixProductPeak() < 1.05 * backend.corePeak())
  }
}
