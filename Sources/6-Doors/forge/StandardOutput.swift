import Foundation
import Support

/// Standard output, written at once so that a reader sees text as it is made.
enum StandardOutput {
  /// - Throws: `ForgeError.tryAgain` when nobody reads any more or the disk is full.
  static func write(_ text: String) throws { try write(Data(text.utf8)) }

  /// - Throws: `ForgeError.tryAgain` when nobody reads any more or the disk is full.
  static func write(_ bytes: some DataProtocol) throws {
    do { try FileHandle.standardOutput.write(contentsOf: bytes) } catch {
      throw ForgeError.tryAgain("cannot write to standard output: \(systemReason(of: error))")
    }
  }
}
