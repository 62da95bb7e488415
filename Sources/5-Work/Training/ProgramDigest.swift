import Foundation
import Support

/// A fingerprint of the running program, so that ranks notice when a node has another build of it.
enum ProgramDigest {
  /// FNV-1a over the executable's size and 64-bit words; empty where the system does not tell where it is. Not for security.
  static func current() -> String {
    guard let program = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe"), options: .alwaysMapped) else {
      return ""
    }
    let hash = program.withUnsafeBytes { bytes in
      var hash = FNV1a(seed: UInt64(bytes.count))
      for offset in stride(from: 0, to: bytes.count - 7, by: 8) {
        hash.add(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      }
      return hash.value
    }
    return String(hash, radix: 16)
  }
}
