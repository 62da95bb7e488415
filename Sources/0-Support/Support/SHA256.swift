internal import CLibCrypto

/// The SHA-256 hash function (FIPS 180-4), incremental, computed by the system's libcrypto, so that a site's validated
/// build of OpenSSL is used.
///
/// ```swift
/// var hash = SHA256()
/// hash.update(header)
/// hash.update(body)
/// let digest = hash.finalize()
/// ```
public struct SHA256: ~Copyable {
  private let context: OpaquePointer

  public init() {
    guard let context = EVP_MD_CTX_new() else {
      endProcess(.tryAgain("there is no memory left for a hash function", code: .outOfMemory))
    }
    // Fails only where OpenSSL's configuration disables SHA-256, which FIPS 140 requires.
    guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      endProcess(
        .badInput(
          "this machine's libcrypto refuses SHA-256", hint: "see the configuration of OpenSSL (openssl.cnf)",
          code: .unsupportedMachine))
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
  }

  public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// Returns the digest of all bytes passed to `update`.
  public consuming func finalize() -> Digest {
    Digest(
      bytes: withUnsafeTemporaryAllocation(byteCount: Digest.byteCount, alignment: 8) { digest in
        var length: UInt32 = 0
        precondition(EVP_DigestFinal_ex(context, digest.baseAddress, &length) == 1 && Int(length) == digest.count)
        return Array(digest)
      })
  }
}

extension SHA256 {
  /// The digest of one buffer.
  public static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finalize()
  }

  public static func hash(_ bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { hash($0) } }

  public static func hash(_ text: String) -> Digest { hash(Array(text.utf8)) }

  /// A SHA-256 digest, 32 bytes.
  public struct Digest: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 32

    /// The digest as big-endian words.
    public let words: (UInt64, UInt64, UInt64, UInt64)

    /// - Parameter bytes: ``byteCount`` of them.
    init(bytes: [UInt8]) {
      precondition(bytes.count == Self.byteCount)
      func word(_ index: Int) -> UInt64 { bytes[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) } }
      words = (word(0), word(1), word(2), word(3))
    }

    public init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

    public static func == (left: Digest, right: Digest) -> Bool { left.words == right.words }

    public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

    /// 64 lowercase hexadecimal digits, as `sha256sum` prints them.
    public var hexadecimal: String {
      [words.0, words.1, words.2, words.3].map { word in
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
      }.joined()
    }

    public var description: String { hexadecimal }
  }
}
