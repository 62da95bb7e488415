import DocumentText

/// A page in any encoding, as `forge data prepare` reads it.
func fuzzHTML(_ bytes: UnsafeRawBufferPointer) throws {
  _ = TextExtractor().documents(in: Array(bytes), name: "page.html")
}
