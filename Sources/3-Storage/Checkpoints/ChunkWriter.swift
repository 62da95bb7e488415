import Support

/// Writes one rank's shard file of a checkpoint: its ranges of tensors, in chunks.
///
/// Ranks write independently; rank 0 gathers what ``finish()`` returns and commits the checkpoint with
/// ``CheckpointFolder/commit(step:tensors:chunks:metadata:)``. The same ranges in the same order give the same file at
/// any number of threads.
public final class ChunkWriter {
  /// A piece of a tensor: a range of its elements in memory.
  public struct Piece {
    public var tensor: TensorDescription
    /// The first element's index in the tensor.
    public var elementOffset: Int
    /// Whole elements, aligned for their type; must stay valid during the call that writes them.
    public var bytes: UnsafeRawBufferPointer

    public init(tensor: TensorDescription, elementOffset: Int, bytes: UnsafeRawBufferPointer) {
      self.tensor = tensor
      self.elementOffset = elementOffset
      self.bytes = bytes
    }
  }

  /// The max raw bytes of a chunk: large enough for the disk, small enough for a reader that needs a part of it.
  public static let defaultChunkBytes = 4 << 20

  /// The block size of writes; large enough for any disk.
  public static let defaultBlockBytes = SequentialFile.defaultBlockBytes

  private let files: any FileOperations
  private let file: SequentialFile
  private let fileName: String
  private let chunkBytes: Int
  private let encoders: [ChunkEncoder]
  private var records: [ChunkRecord] = []
  private var isOpen = true

  /// - Parameters:
  ///   - folder: the path that ``CheckpointFolder/begin(step:)`` returned on rank 0.
  ///   - level: the zstd compression level of compressible planes; negative ones are faster.
  ///   - threads: chunks that are encoded in parallel, each with up to 12 MiB of buffers; the file has another 8.
  ///   - blockBytes: the block size of writes.
  /// - Throws: `ForgeError.tryAgain` when the file cannot be created.
  public init(
    folder: String, rank: Int, level: Int, threads: Int = 1, chunkBytes: Int = defaultChunkBytes,
    blockBytes: Int = defaultBlockBytes, files: any FileOperations = PosixFiles()
  ) throws {
    precondition(threads > 0 && chunkBytes > 0 && chunkBytes % 8 == 0)
    let digits = String(rank)
    fileName = "shard-" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits + ".forge"
    self.files = files
    self.chunkBytes = chunkBytes
    file = try SequentialFile(path: "\(folder)/\(fileName)", files: files, blockBytes: blockBytes)
    encoders = (0..<threads).map { _ in ChunkEncoder(level: level, chunkBytes: chunkBytes) }
  }

  /// Bytes written so far.
  public var byteCount: Int { file.end }

  /// Writes a range of a tensor that begins at element `elementOffset`.
  public func write(tensor: TensorDescription, elementOffset: Int = 0, bytes: UnsafeRawBufferPointer) throws {
    try write([Piece(tensor: tensor, elementOffset: elementOffset, bytes: bytes)])
  }

  /// Writes several ranges; with several threads this is faster than one call each, since chunks of all are encoded in
  /// parallel.
  public func write(_ pieces: [Piece]) throws {
    precondition(isOpen, "the shard is finished")
    let chunks = pieces.flatMap(split)
    let work = OrderedWork(count: chunks.count)
    try work.run(threads: encoders.count) { worker in
      let encoder = encoders[worker]
      while let index = work.take() {
        encoder.encode(chunks[index].bytes, width: chunks[index].tensor.dtype.width)
        work.deliver(index) { try append(chunks[index], encoder) }
      }
    }
  }

  /// Syncs and closes the file.
  ///
  /// - Returns: the chunks written, in order.
  public func finish() throws -> [ChunkRecord] {
    precondition(isOpen, "the shard is finished")
    isOpen = false
    try file.finish()
    if records.isEmpty { try files.removeFile(file.path) }  // a rank may have no shard
    return records
  }

  private func append(_ chunk: Piece, _ encoder: ChunkEncoder) throws {
    let offset = file.end
    for plane in encoder.planes { try file.append(plane) }
    records.append(
      ChunkRecord(
        tensor: chunk.tensor.name, start: chunk.elementOffset, count: chunk.bytes.count / chunk.tensor.dtype.width,
        file: fileName, offset: offset, length: file.end - offset, rawLength: chunk.bytes.count, encoding: .planes,
        planes: encoder.planes.map(\.count), sha256: encoder.sha256))
  }

  /// Splits a range into chunks of at most `chunkBytes`.
  private func split(_ piece: Piece) -> [Piece] {
    let width = piece.tensor.dtype.width
    let first = piece.elementOffset
    precondition(piece.bytes.count % width == 0, "a range of '\(piece.tensor.name)' ends within an element")
    precondition(first >= 0 && first + piece.bytes.count / width <= piece.tensor.elementCount)
    return stride(from: 0, to: piece.bytes.count, by: chunkBytes).map { start in
      let end = min(start + chunkBytes, piece.bytes.count)
      return Piece(
        tensor: piece.tensor, elementOffset: first + start / width,
        bytes: UnsafeRawBufferPointer(rebasing: piece.bytes[start..<end]))
    }
  }
}
