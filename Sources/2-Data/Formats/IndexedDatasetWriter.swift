import Support

/// A writer of a Megatron-LM indexed dataset (see ``IndexedDataset``), with one sequence per document.
///
/// The tokens are written as they are appended; the documents' lengths are kept in memory (4 bytes each) until
/// `finish`. Neither file appears under its name before that. Both are hashed while they are written
/// (``DatasetDigest``).
public final class IndexedDatasetWriter {
  public let tokenType: TokenType
  public private(set) var tokenCount = 0
  public var documentCount: Int { lengths.count }

  private let data: OutputFile
  private let index: OutputFile
  private var lengths: [Int32] = []
  private let chunkByteCount: Int
  private let dataHasher: ChunkHasher
  private let indexHasher: ChunkHasher

  /// Throws `badInput` when the files cannot be created.
  public init(
    prefix: String, tokenType: TokenType, chunkByteCount: Int = FileDigest.standardChunkByteCount
  ) throws {
    self.tokenType = tokenType
    self.chunkByteCount = chunkByteCount
    dataHasher = ChunkHasher(chunkByteCount: chunkByteCount)
    indexHasher = ChunkHasher(chunkByteCount: chunkByteCount)
    data = try OutputFile(path: prefix + ".bin")
    index = try OutputFile(path: prefix + ".idx")
  }

  /// Appends a document; returns the range of the token stream that it occupies. Throws `tryAgain` when the disk is
  /// full or fails.
  @discardableResult
  public func append(document tokens: UnsafeBufferPointer<Int32>) throws -> Range<Int> {
    guard let length = Int32(exactly: tokens.count) else {
      throw ForgeError.badInput(
        "a document of \(tokens.count) tokens is longer than an indexed dataset can hold", code: .tooLong)
    }
    switch tokenType {
    case .int32: try append(UnsafeRawBufferPointer(tokens))
    case .uint8: try append(tokens, as: UInt8.self)
    case .int8: try append(tokens, as: Int8.self)
    case .int16: try append(tokens, as: Int16.self)
    case .uint16: try append(tokens, as: UInt16.self)
    case .int64: try append(tokens, as: Int64.self)
    }
    lengths.append(length)
    let start = tokenCount
    tokenCount += tokens.count
    return start..<tokenCount
  }

  /// Completes both files and renames them to their final names, the index last.
  ///
  /// - Returns: the content hash of the two.
  @discardableResult
  public func finish() throws -> DatasetDigest {
    try IndexLayout.magic.withUnsafeBytes { try appendIndex($0) }
    try appendIndex(IndexLayout.version)
    try appendIndex(tokenType.rawValue)
    try appendIndex(UInt64(lengths.count))
    try appendIndex(UInt64(lengths.count + 1))
    for length in lengths { try appendIndex(length) }
    var offset: Int64 = 0
    for length in lengths {
      try appendIndex(offset)
      offset += Int64(length) * Int64(tokenType.byteCount)
    }
    for document in 0...Int64(lengths.count) { try appendIndex(document) }
    try data.commit()
    try index.commit()
    return DatasetDigest(
      chunkByteCount: chunkByteCount, data: dataHasher.finalize(), index: indexHasher.finalize())
  }

  private func append<Token: FixedWidthInteger>(_ tokens: UnsafeBufferPointer<Int32>, as type: Token.Type) throws {
    try withUnsafeTemporaryAllocation(of: Token.self, capacity: tokens.count) { converted in
      for (index, token) in tokens.enumerated() {
        converted.initializeElement(at: index, to: Token(token))
      }
      try append(UnsafeRawBufferPointer(converted))
    }
  }

  private func append(_ bytes: UnsafeRawBufferPointer) throws {
    dataHasher.update(bytes)
    try data.append(bytes)
  }

  private func appendIndex<Value: FixedWidthInteger>(_ value: Value) throws {
    try withUnsafeBytes(of: value.littleEndian) { try appendIndex($0) }
  }

  private func appendIndex(_ bytes: UnsafeRawBufferPointer) throws {
    indexHasher.update(bytes)
    try index.append(bytes)
  }
}
