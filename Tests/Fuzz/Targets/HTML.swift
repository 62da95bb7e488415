import DocumentText

/// A page in any encoding, as `forge data prepare` reads it.
func fuzzHTML(_ bytes: UnsafeRawBufferPointer) throws {
  _ = HTMLText.extract(from: Array(bytes))
}
