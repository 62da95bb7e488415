import Testing

@testable import Support

@Suite("SHA-256") struct SHA256Tests {
  /// The examples of FIPS 180-4 (NIST's "SHA256.pdf"), the empty message and a million times `a`.
  @Test(
    "the standard's examples",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
      (
        String(repeating: "a", count: 1_000_000),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
      ),
    ])
  func examples(message: String, digest: String) {
    #expect(SHA256.hash(message).hexadecimal == digest)
  }

  @Test("pieces of any length give the digest of the whole")
  func pieces() {
    let message = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    for length in [1, 63, 64, 65, 999] {
      var hash = SHA256()
      for start in stride(from: 0, to: message.count, by: length) {
        hash.update(Array(message[start..<min(start + length, message.count)]))
      }
      #expect(hash.finalize() == SHA256.hash(message))
    }
  }
}
