import Foundation
import Testing

@testable import Kernels

struct CorePeakTests {
  /// What else runs on the machine takes time, but not processor time.
  @Test func aBusyMachineHasTheSamePeak() throws {
    let alone = Compute(threads: 2).corePeak()
    let others = try (0..<4).map { _ in
      let process = Process()
      process.executableURL = URL(filePath: "/bin/sh")
      process.arguments = ["-c", "while :; do :; done"]
      try process.run()
      return process
    }
    defer { for other in others { other.terminate() } }
    let busy = Compute(threads: 2).corePeak()
    #expect(alone > 0)
    #expect(busy > 0.5 * alone && busy < 2 * alone, "\(alone) alone, \(busy) beside others")
  }

  /// Nothing that is computed with floats is faster.
  @Test func productsAreSlower() {
    let compute = Compute(threads: 1)
    #expect(compute.matrixProductPeak() < 1.05 * compute.corePeak())
  }
}
