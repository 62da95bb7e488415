import Support

/// A document's identity: the SHA-256 of its extracted bytes.
public struct DocumentID: Hashable, Sendable, CustomStringConvertible {
  private let digest: SHA256.Digest

  public init(of bytes: [UInt8]) { digest = SHA256.hash(bytes) }

  /// 64 hexadecimal digits, as `sha256sum` prints them.
  public var description: String { digest.hexadecimal }

  /// Whether the document is in the held-out share (0 to 1) of all documents, by its hash alone. A document stays in
  /// its part when others are added, and one that is held out stays so when the share grows.
  public func isHeldOut(share: Double) -> Bool { Double(digest.words.0 >> 11) * 0x1p-53 < share }
}
