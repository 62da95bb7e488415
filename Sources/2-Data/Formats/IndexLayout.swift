import Support

/// The layout of a `.idx` file; see ``IndexedDataset`` for the format.
struct IndexLayout {
  static let magic: [UInt8] = Array("MMIDIDX\0\0".utf8)
  static let version: UInt64 = 1
  /// Magic, version, type code and the two counts.
  static let headerByteCount = 9 + 8 + 1 + 8 + 8

  let tokenType: TokenType
  let sequenceCount: Int
  /// Document indices, one more than documents.
  let documentIndexCount: Int

  private var lengthsStart: Int { Self.headerByteCount }
  private var offsetsStart: Int { lengthsStart + sequenceCount * 4 }
  private var documentsStart: Int { offsetsStart + sequenceCount * 8 }
  private var end: Int { documentsStart + documentIndexCount * 8 }

  init(of index: MappedFile) throws {
    let path = index.path
    let bytes = index.bytes
    guard bytes.count >= Self.headerByteCount, bytes.starts(with: Self.magic) else {
      throw ForgeError.badInput("'\(path)' is not the index of a Megatron-LM indexed dataset", code: .malformedFile)
    }
    let version = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
    guard version == Self.version else {
      throw ForgeError.badInput(
        "'\(path)' has version \(version) of the index format; only version 1 is known", code: .unsupportedFormat)
    }
    guard let tokenType = TokenType(rawValue: bytes[17]) else {
      throw ForgeError.badInput(
        "'\(path)' has token type code \(bytes[17]), which is not an integer type", code: .unsupportedFormat)
    }
    self.tokenType = tokenType
    let counts = [18, 26].map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self)) }
    // Far above any real count; below it the sums cannot overflow.
    guard counts.allSatisfy({ $0 <= 1 << 48 }) else {
      throw ForgeError.badInput(
        "'\(path)' is damaged: it claims \(counts[0]) sequences and \(counts[1]) documents", code: .fileDamaged)
    }
    sequenceCount = Int(counts[0])
    documentIndexCount = Int(counts[1])
    // Multimodal datasets have a byte per sequence after the end, which text does not need.
    guard bytes.count == end || bytes.count == end + sequenceCount else {
      throw ForgeError.badInput(
        "'\(path)' has \(bytes.count) bytes, but \(sequenceCount) sequences and \(documentIndexCount) document indices "
          + "need \(end): it is truncated or damaged", code: .fileDamaged)
    }
  }

  func length(ofSequence sequence: Int, in index: MappedFile) -> Int {
    Int(Int32(littleEndian: index.bytes.loadUnaligned(fromByteOffset: lengthsStart + sequence * 4, as: Int32.self)))
  }

  func byteOffset(ofSequence sequence: Int, in index: MappedFile) -> Int {
    Int(Int64(littleEndian: index.bytes.loadUnaligned(fromByteOffset: offsetsStart + sequence * 8, as: Int64.self)))
  }

  func firstSequence(ofDocument document: Int, in index: MappedFile) -> Int {
    Int(Int64(littleEndian: index.bytes.loadUnaligned(fromByteOffset: documentsStart + document * 8, as: Int64.self)))
  }

  /// Checks that the sequences are contiguous and fill the `.bin` file; returns the number of tokens.
  func checkedTokenCount(of index: MappedFile, dataPath: String, dataSize: Int) throws -> Int {
    var tokenCount = 0
    for sequence in 0..<sequenceCount {
      let length = length(ofSequence: sequence, in: index)
      let offset = byteOffset(ofSequence: sequence, in: index)
      guard length >= 0, offset == tokenCount * tokenType.byteCount else {
        throw ForgeError.badInput(
          "'\(index.path)' contradicts itself: sequence \(sequence) of \(length) tokens at byte \(offset) should be at "
            + "byte \(tokenCount * tokenType.byteCount) for tokens of type \(tokenType)", code: .fileDamaged)
      }
      tokenCount += length
    }
    let expected = tokenCount * tokenType.byteCount
    guard dataSize == expected else {
      let cause = dataSize < expected ? "it is truncated, or the index is another dataset's" : "the index is another's"
      throw ForgeError.badInput(
        "'\(dataPath)' has \(dataSize) bytes, but its index describes \(tokenCount) tokens of type \(tokenType), "
          + "\(expected) bytes: \(cause)", code: .fileDamaged)
    }
    return tokenCount
  }

  /// Checks that the document indices ascend from the first sequence to the end; returns the number of documents.
  func checkedDocumentCount(of index: MappedFile) throws -> Int {
    var previous = 0
    for document in 0..<documentIndexCount {
      let sequence = firstSequence(ofDocument: document, in: index)
      guard sequence <= sequenceCount, document == 0 ? sequence == 0 : sequence >= previous else {
        throw ForgeError.badInput(
          "'\(index.path)' is damaged: document index \(document) is \(sequence)", code: .fileDamaged)
      }
      previous = sequence
    }
    guard documentIndexCount > 0, previous == sequenceCount else {
      throw ForgeError.badInput(
        "'\(index.path)' is damaged: its document indices do not end at its last sequence", code: .fileDamaged)
    }
    return documentIndexCount - 1
  }
}
