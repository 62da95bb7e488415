import CKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

extension Backend {
  /// The peak of a core, FLOP/s, measured by independent fused multiply-adds on all threads of the team at once.
  ///
  /// By the CPU time of each thread, so that other processes do not count; the best of six runs, about 10 ms together.
  public func corePeak() -> Double {
    let rounds: Int64 = 1 << 19
    var best = 0.0
    for _ in 0..<6 {
      let rates = Mutex<[Double]>([])
      team.forEach(team.count) { [table] _, _ in
        var numbers = [Float](repeating: 1, count: 16)
        let started = Self.processorSeconds()
        let operations = table.multiply_adds(rounds, &numbers)
        let seconds = Self.processorSeconds() - started
        if seconds > 0 { rates.withLock { $0.append(Double(operations) / seconds) } }
      }
      best = rates.withLock { rates in max(best, rates.reduce(0, +) / Double(max(1, rates.count))) }
    }
    // OpenBLAS may use wider instructions than our baseline kernels.
    return String(cString: table.family) == "baseline" ? max(best, matrixProductPeak() / Double(team.count)) : best
  }

  /// The CPU time of this thread, seconds.
  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }
}
