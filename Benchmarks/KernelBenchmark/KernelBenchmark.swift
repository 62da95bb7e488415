import ArgumentParser
import Foundation
import Kernels
import Support

/// Measures each kernel against its bound on this machine, in the same run, and fails when one is below its
/// threshold.
///
/// Run by `scripts/benchmark-kernels`.
@main
struct KernelBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel-benchmark",
    abstract: "Time every kernel on one thread, as a share of this core's peak or of its memory's rate.",
    discussion: """
      The rounds of all kernels and of both bounds alternate, and the best of each counts, by processor time. Exit code 1
      when a kernel is below its threshold or has none, unless nobody has measured this CPU kernel family yet.
      """)

  @Option(help: "The folder of the thresholds, with a file for each CPU kernel family.")
  var thresholds: String

  @Option(help: "Times that each kernel is measured.")
  var rounds = 15

  @Flag(help: "Write thresholds, 70 % of what is measured, instead of checking them.")
  var write = false

  func validate() throws {
    guard (1...10_000).contains(rounds) else { throw ValidationError("--rounds is from 1 to 10000, not \(rounds)") }
  }

  func run() throws {
    do {
      try measure()
    } catch let error as ForgeError {
      FileHandle.standardError.write(Data("kernel-benchmark: \(error)\n".utf8))
      throw ExitCode(64)
    }
  }

  private func measure() throws {
    let backend = Backend(threads: 1)
    let path = "\(thresholds)/\(backend.family).json"
    var known = write ? Thresholds(path: path, shares: [:]) : try Thresholds(path: path)
    if known == nil { print("there are no thresholds for \(backend.family) yet: write them with --write") }
    let kernels = KernelCases(backend)
    defer { withExtendedLifetime(kernels) {} }
    let cases = kernels.all
    var rates = MachineRates()
    var best = [Double](repeating: .infinity, count: cases.count)
    for _ in 0...rounds {  // the first of them touches memory
      rates.measure(backend)
      for (index, kernel) in cases.enumerated() {
        kernel.prepare()
        best[index] = min(best[index], processorSeconds(kernel.call))
      }
    }

    print("\(backend.family): \(text(rates.arithmetic / 1e9)) GFLOP/s, \(text(rates.memory / 1e9)) GB/s on one core")
    var failures = 0
    for (kernel, seconds) in zip(cases, best) {
      let share = kernel.work / seconds / rates.rate(of: kernel.bound)
      if write { known?.shares[kernel.name] = 0.7 * share }
      let threshold = known?.shares[kernel.name]
      let isFine = known == nil || threshold.map { share >= $0 } ?? false
      failures += isFine ? 0 : 1
      let bound = threshold.map { "at least \(percent($0))" } ?? "no threshold"
      print("\(isFine ? "ok    " : "FAILED") \(kernel.name): \(percent(share)) of \(kernel.bound.rawValue), \(bound)")
    }
    if write { try known?.write() }
    print("\(known == nil ? 0 : cases.count - failures) passed, \(failures) failed")
    if failures > 0 { throw ExitCode.failure }
  }

  private func text(_ value: Double) -> String { String(format: "%.1f", value) }

  private func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
}
