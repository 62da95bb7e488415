import Foundation
import Kernels
import Parallelism
import Support

/// SHA-256 over all weights: every tensor's fp32 values in the order of the layout, little-endian.
public enum WeightsDigest {
  /// Collective; the same on every rank.
  ///
  /// - Throws: `MPIError`.
  public static func sha256(_ state: ShardedParameters) throws -> String {
    var hash = SHA256()
    try state.forEachParameters { hash.update(UnsafeRawBufferPointer($0.pointer)) }
    return hash.finalize().hexadecimal
  }
}
