import Foundation
import Support

/// A fingerprint of the running program, to detect different builds on different nodes.
enum ProgramDigest {
  /// FNV-1a over the executable's size and 64-bit words; empty when the executable cannot be read. Not cryptographic.
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
