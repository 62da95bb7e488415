import Foundation
import Kernels
import Models
import Optimizers
import Parallelism

/// A rank's memory: what the layout says it will be, by role, and what the kernel saw.
struct MemoryReport {
  /// Bytes by role, largest first.
  let planned: [(role: String, bytes: Int)]
  /// Bytes that the process had before anything was laid out: program and libraries.
  let baseline: Int

  /// - Parameter baseline: `residentBytes()` before the arenas were made.
  init(_ configuration: RunConfiguration, ranks: Int, threads: Int, baseline: Int) {
    let layout = ParameterLayout(configuration.model)
    let owned = ShardedAdamW.ownedCount(layout, ranks: ranks)
    let decoder = Decoder.plannedBytes(
      configuration.model, sequences: configuration.batch.microBatch, length: configuration.data.sequenceLength,
      training: true)
    planned = [
      ("parameters", 4 * layout.count), ("gradient sums", 8 * layout.count),
      ("moments", AdamW.plannedBytes(owned: owned)), ("activations", decoder),
      (
        "buffers",
        ShardedAdamW.plannedBufferBytes(ranks: ranks) + threads * Compute.plannedBytesPerThread
          + BatchLoader.plannedBytes(
            sequenceLength: configuration.data.sequenceLength, batch: configuration.batch, ranks: ranks)
      ),
    ].sorted { $0.1 > $1.1 }
    self.baseline = baseline
  }

  var predictedPeak: Int { baseline + planned.reduce(0) { $0 + $1.bytes } }

  var description: String {
    let parts = planned.map { "\($0.role) \(Self.mebibytes($0.bytes))" }.joined(separator: ", ")
    return "memory a rank: \(Self.mebibytes(predictedPeak)) predicted (\(parts), program \(Self.mebibytes(baseline)))"
  }

  static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 19)) >> 20) MiB" }

  /// The process's own resident memory: anonymous and shared pages. Mapped data files are not counted; their pages are
  /// the page cache's and leave when somebody needs the room. Arenas never shrink, so what is resident at a run's end is
  /// its peak.
  static func residentBytes() -> Int { status("RssAnon:") + status("RssShmem:") }

  private static func status(_ key: String) -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
    let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
  }
}
