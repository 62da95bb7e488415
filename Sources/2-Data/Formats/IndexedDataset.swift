import Support

/// A memory-mapped Megatron-LM indexed dataset: tokens in `PREFIX.bin`, described by `PREFIX.idx`.
///
/// The index, all little-endian: `MMIDIDX\0\0`, version `1` (`UInt64`), the token type's code (`UInt8`), the number S
/// of sequences and the number D of document indices (`UInt64` each), then S sequence lengths in tokens (`Int32`), S
/// byte offsets into the `.bin` (`Int64`) and D document indices (`Int64`): where each document's sequences begin,
/// followed by S. Format and names from Megatron-LM, `megatron/core/datasets/indexed_dataset.py`.
///
/// The sequences of a dataset are contiguous, so the tokens can be read as one stream. All reading is thread-safe and
/// allocates nothing.
public final class IndexedDataset: Sendable {
  /// The path without `.bin` and `.idx`.
  public let prefix: String
  public let tokenType: TokenType
  public let tokenCount: Int
  public let sequenceCount: Int
  /// Documents, each of one sequence or more; the number of document indices less one.
  public let documentCount: Int

  public var dataPath: String { prefix + ".bin" }
  public var indexPath: String { prefix + ".idx" }

  private let data: MappedFile
  private let index: MappedFile
  private let layout: IndexLayout

  /// Opens and checks both files; every sequence must begin where the one before it ends.
  ///
  /// Throws `badInput` when a file is missing, truncated or of an unknown format, or when the two do not match.
  public init(prefix: String) throws {
    self.prefix = prefix
    index = try MappedFile(path: prefix + ".idx")
    data = try MappedFile(path: prefix + ".bin")
    layout = try IndexLayout(of: index)
    tokenType = layout.tokenType
    sequenceCount = layout.sequenceCount
    tokenCount = try layout.checkedTokenCount(of: index, dataPath: prefix + ".bin", dataSize: data.count)
    documentCount = try layout.checkedDocumentCount(of: index)
  }

  /// Copies a range of the token stream, converted to `Int32`.
  public func read(_ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Int32>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= tokenCount && range.count == destination.count)
    func copy<Token: FixedWidthInteger>(_: Token.Type) {
      let source = tokens(range, as: Token.self)
      for index in destination.indices { destination[index] = Int32(truncatingIfNeeded: source[index]) }
    }
    switch tokenType {
    case .uint8: copy(UInt8.self)
    case .int8: copy(Int8.self)
    case .int16: copy(Int16.self)
    case .uint16: copy(UInt16.self)
    case .int32: copy(Int32.self)
    case .int64: copy(Int64.self)
    }
  }

  /// The first token in a range of the stream that is outside `0..<vocabularySize`, with its position; nil when there
  /// is none.
  public func firstToken(
    outsideVocabulary vocabularySize: Int, in range: Range<Int>
  ) -> (position: Int, id: Int)? {
    func search<Token: FixedWidthInteger & UnsignedInteger>(_: Token.Type, isSigned: Bool) -> Int? {
      // A negative id is a large one when read as unsigned.
      let limit = isSigned ? min(Token(clamping: vocabularySize), Token.max / 2 + 1) : Token(clamping: vocabularySize)
      guard isSigned || vocabularySize <= Token.max else { return nil }
      let blockCount = 1 << 16
      for start in stride(from: range.lowerBound, to: range.upperBound, by: blockCount) {
        let block = tokens(start..<min(start + blockCount, range.upperBound), as: Token.self)
        // The compiler vectorizes the maximum of a block, but not the search for a position.
        var maximum: Token = 0
        for token in block { maximum = max(maximum, token) }
        if maximum >= limit { return block.firstIndex { $0 >= limit }.map { start + $0 } }
      }
      return nil
    }
    let position =
      switch tokenType {
      case .uint8: search(UInt8.self, isSigned: false)
      case .uint16: search(UInt16.self, isSigned: false)
      case .int8: search(UInt8.self, isSigned: true)
      case .int16: search(UInt16.self, isSigned: true)
      case .int32: search(UInt32.self, isSigned: true)
      case .int64: search(UInt64.self, isSigned: true)
      }
    return position.map { ($0, token(at: $0)) }
  }

  /// The position in the token stream of a document's first token; for `documentCount`, of the stream's end.
  public func start(ofDocument document: Int) -> Int {
    let sequence = layout.firstSequence(ofDocument: document, in: index)
    guard sequence < sequenceCount else { return tokenCount }
    return layout.byteOffset(ofSequence: sequence, in: index) / tokenType.byteCount
  }

  /// The document that the token at a position of the stream belongs to (binary search).
  public func document(containing position: Int) -> Int {
    precondition(position >= 0 && position < tokenCount)
    var low = 0
    var high = documentCount
    // Invariant: start(low) <= position < start(high). Empty documents are skipped.
    while high - low > 1 {
      let middle = (low + high) / 2
      if start(ofDocument: middle) <= position { low = middle } else { high = middle }
    }
    return low
  }

  private func token(at position: Int) -> Int {
    let bytes = data.bytes
    let offset = position * tokenType.byteCount
    switch tokenType {
    case .uint8: return Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt8.self))
    case .int8: return Int(bytes.loadUnaligned(fromByteOffset: offset, as: Int8.self))
    case .int16: return Int(bytes.loadUnaligned(fromByteOffset: offset, as: Int16.self))
    case .uint16: return Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    case .int32: return Int(bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    case .int64: return Int(bytes.loadUnaligned(fromByteOffset: offset, as: Int64.self))
    }
  }

  /// The mapped tokens themselves. A mapping starts at a page, so every token is aligned.
  private func tokens<Token>(_ range: Range<Int>, as type: Token.Type) -> UnsafeBufferPointer<Token> {
    UnsafeBufferPointer(rebasing: data.bytes.assumingMemoryBound(to: Token.self)[range])
  }
}
