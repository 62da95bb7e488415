import Crypto

/// A document's identity: the SHA-256 of its extracted bytes.
public struct DocumentID: Hashable, Sendable, CustomStringConvertible {
  /// The digest's bytes, the first in the highest place of the first word.
  private let words: (UInt64, UInt64, UInt64, UInt64)

  public init(of bytes: [UInt8]) {
    var function = SHA256()
    bytes.withUnsafeBytes { function.update(bufferPointer: $0) }
    let digest = function.finalize()
    words = digest.withUnsafeBytes { digest in
      func word(_ index: Int) -> UInt64 {
        UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
      }
      return (word(0), word(1), word(2), word(3))
    }
  }

  public static func == (left: DocumentID, right: DocumentID) -> Bool { left.words == right.words }

  public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  /// 64 hexadecimal digits, as `sha256sum` prints them.
  public var description: String {
    [words.0, words.1, words.2, words.3].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  /// Whether the document is among the share (0 to 1) of all documents that is held out. A document stays on its side
  /// when others are added, and one that is held out stays so when the share grows.
  public func isHeldOut(share: Double) -> Bool { Double(words.0 >> 11) * 0x1p-53 < share }
}
