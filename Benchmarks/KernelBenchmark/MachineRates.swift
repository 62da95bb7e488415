import Foundation
import Kernels

/// The peak rates of this core, measured in the same run as the kernels.
struct MachineRates {
  /// Floating-point operations a second.
  private(set) var arithmetic = 0.0
  /// Bytes a second.
  private(set) var memory = 0.0

  private let operands = Operands()
  private let sum: Buffer<Float>
  private let addend: Buffer<Float>
  /// Elements of each of the two arrays: together 256 MiB, beyond any cache.
  private static let count = 1 << 25

  init() {
    sum = operands.floats(Self.count)
    addend = operands.floats(Self.count)
  }

  /// Measures again and keeps the maximum.
  mutating func measure(_ backend: Backend) {
    arithmetic = max(arithmetic, backend.corePeak())
    memory = max(memory, 12 * Double(Self.count) / processorSeconds { stream() })
  }

  func rate(of bound: KernelCase.Bound) -> Double {
    switch bound {
    case .arithmetic: arithmetic
    case .memory: memory
    }
  }

  /// a ← a + s b, in place, so that no line is fetched only to be overwritten: 12 bytes an element, which is what really moves
  /// (the triad of McCalpin 1995, STREAM, moves 16 and counts 12).
  private func stream() {
    let (a, b) = (sum.base, addend.base)
    for index in 0..<Self.count { a[index] += 0.5 * b[index] }
  }
}

/// This thread's processor time, seconds: other work on the machine affects it less than wall-clock time.
func processorSeconds(_ body: () -> Void) -> Double {
  func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }
  let start = now()
  body()
  return now() - start
}
