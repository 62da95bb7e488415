import Foundation
import Support
import Synchronization

/// Reads a checkpoint at any rank count: any range of any tensor, from only the chunks that overlap it, each verified.
public final class CheckpointReader: Sendable {
  /// A request to read a range of a tensor.
  public struct Request {
    public var tensor: String
    /// Element indices in the tensor.
    public var elements: Range<Int>
    /// Memory of exactly these elements' size, aligned for their type.
    public var destination: UnsafeMutableRawBufferPointer

    public init(tensor: String, elements: Range<Int>, destination: UnsafeMutableRawBufferPointer) {
      self.tensor = tensor
      self.elements = elements
      self.destination = destination
    }
  }

  /// The checkpoint's folder.
  public let path: String
  /// The manifest's root hash: checkpoints with the same one are equal in every byte.
  public let root: String
  public var step: Int { manifest.step }
  public var tensors: [TensorDescription] { manifest.tensors }
  public var metadata: JSONValue { manifest.metadata }

  let manifest: CheckpointManifest
  private let tensorsByName: [String: TensorDescription]
  /// In the order of their elements.
  private let chunksByTensor: [String: [ChunkRecord]]
  private let opened = Mutex<[String: ShardFile]>([:])

  /// Opens a checkpoint and verifies its manifest and the lengths of its files; chunks are verified when they are read.
  ///
  /// - Parameter path: a checkpoint's folder, a `latest` file, a run's `checkpoints` folder or the run's folder (the
  ///   last three resolve to the checkpoint that `latest` names).
  /// - Throws: `ForgeError` (bad input) that names the file and the error.
  public convenience init(path: String) throws {
    try self.init(partsIn: path)
    for file in manifest.files { try checkLength(file) }
  }

  /// Opens a checkpoint whose folder may lack shards, such as a node-local one.
  ///
  /// - Throws: `ForgeError` (bad input) when the manifest is damaged or missing.
  public init(partsIn path: String) throws {
    self.path = try Self.resolve(path)
    do {
      (manifest, root) = try CheckpointManifest.decode(
        ShardFile.contents("\(self.path)/\(CheckpointManifest.fileName)"))
      try manifest.validate()
      let name = (self.path as NSString).lastPathComponent
      if let step = CheckpointFolder.step(name: name), step != manifest.step {
        throw FormatError("it is that of step \(manifest.step)")
      }
    } catch let defect as FormatError {
      throw ForgeError.badInput(
        "checkpoint '\(self.path)' is damaged: \(CheckpointManifest.fileName): \(defect.description)",
        code: .fileDamaged)
    }
    tensorsByName = Dictionary(uniqueKeysWithValues: manifest.tensors.map { ($0.name, $0) })
    chunksByTensor = Dictionary(grouping: manifest.chunks, by: \.tensor)
      .mapValues { $0.sorted { $0.start < $1.start } }
  }

  public subscript(tensor: String) -> TensorDescription? { tensorsByName[tensor] }

  // MARK: Reading

  /// Reads a range of a tensor; nil for all of it.
  public func read(
    tensor: String, elements: Range<Int>? = nil, into destination: UnsafeMutableRawBufferPointer, threads: Int = 1
  ) throws {
    let whole = 0..<(tensorsByName[tensor]?.elementCount ?? 0)
    try read([Request(tensor: tensor, elements: elements ?? whole, destination: destination)], threads: threads)
  }

  /// Reads several ranges, with chunks of all of them in parallel on up to `threads` threads.
  ///
  /// - Throws: `ForgeError` (bad input) that names the damaged file, tensor and chunk, or the tensor that the
  ///   checkpoint does not have. The destinations are then undefined.
  public func read(_ requests: [Request], threads: Int = 1) throws {
    let slices = try requests.flatMap(slices)
    try forEach(slices.map { ($0.chunk, $0.index) }, threads: threads) { position, stored, buffers in
      try decode(stored.get(), slices[position], buffers)
    }
  }

  /// The part of a chunk that a request needs.
  private struct Slice {
    var chunk: ChunkRecord
    var index: Int
    var width: Int
    var elements: Range<Int>
    var destination: UnsafeMutableRawPointer
  }

  private func slices(of request: Request) throws -> [Slice] {
    guard let tensor = tensorsByName[request.tensor] else {
      throw ForgeError.badInput("checkpoint '\(path)' has no tensor '\(request.tensor)'", code: .weightsMismatch)
    }
    let width = tensor.dtype.width
    precondition(
      request.elements.lowerBound >= 0 && request.elements.upperBound <= tensor.elementCount
        && request.destination.count == request.elements.count * width,
      "a request for '\(tensor.name)' does not fit the tensor or its destination")
    guard !request.elements.isEmpty, let base = request.destination.baseAddress else { return [] }
    return (chunksByTensor[request.tensor] ?? []).enumerated().compactMap { index, chunk in
      let elements = chunk.elements.clamped(to: request.elements)
      guard !elements.isEmpty else { return nil }
      let destination = base + (elements.lowerBound - request.elements.lowerBound) * width
      return Slice(chunk: chunk, index: index, width: width, elements: elements, destination: destination)
    }
  }

  private func decode(_ stored: UnsafeRawBufferPointer, _ slice: Slice, _ buffers: ReadBuffers) throws {
    let chunk = slice.chunk
    do {
      if slice.elements == chunk.elements {
        try buffers.decoder.decode(stored, of: chunk, into: slice.destination)
      } else {
        let whole = buffers.elements.grown(to: chunk.rawLength)
        guard let base = whole.baseAddress else { return }
        try buffers.decoder.decode(stored, of: chunk, into: base)
        let skipped = (slice.elements.lowerBound - chunk.start) * slice.width
        slice.destination.copyMemory(from: base + skipped, byteCount: slice.elements.count * slice.width)
      }
    } catch {
      throw damaged(chunk, index: slice.index, error)
    }
  }

  /// Reads and verifies chunks on up to `threads` threads, each of which prefetches its next ones.
  ///
  /// - Parameters:
  ///   - chunks: with their numbers within their tensors.
  ///   - body: called with a chunk's position in `chunks` and its stored bytes, or their error; an error that it throws
  ///     ends the work.
  private func forEach(
    _ chunks: [(chunk: ChunkRecord, index: Int)], threads: Int,
    _ body: (_ position: Int, _ stored: Result<UnsafeRawBufferPointer, any Error>, ReadBuffers) throws -> Void
  ) throws {
    let work = OrderedWork(count: chunks.count)
    try work.run(threads: threads) { _ in
      let buffers = ReadBuffers()
      var ahead: [Int] = []
      func fetchNext() {
        guard let position = work.take() else { return }
        let chunk = chunks[position].chunk
        buffers.fetch { try self.shard(chunk.file).read(chunk.length, at: chunk.offset, in: $0) }
        ahead.append(position)
      }
      for _ in 0..<ReadBuffers.ahead { fetchNext() }
      while !ahead.isEmpty {
        let position = ahead.removeFirst()
        let fetched = buffers.take()
        fetchNext()
        let (chunk, index) = chunks[position]
        let stored = Result { try verified(fetched, chunk, index: index) }
        do { try body(position, stored, buffers) } catch { work.fail(error) }
      }
    }
  }

  private func verified(
    _ fetched: Result<UnsafeRawBufferPointer, any Error>, _ chunk: ChunkRecord, index: Int
  ) throws -> UnsafeRawBufferPointer {
    do {
      let stored = try fetched.get()
      try ChunkDecoder.verify(stored, against: chunk)
      return stored
    } catch let defect as FormatError {
      throw damaged(chunk, index: index, defect)
    }
  }

  // MARK: Verification

  /// Reads and verifies every chunk, or one of `shares` equal shares of them, for one rank each.
  ///
  /// - Throws: `ForgeError` (bad input) that names the damaged file, tensor and chunk.
  public func verify(share: Int = 0, of shares: Int = 1, threads: Int = 1) throws {
    let chunks = indexedChunks
    let mine = Array(chunks[chunks.count * share / shares..<chunks.count * (share + 1) / shares])
    try forEach(mine, threads: threads) { _, stored, _ in _ = try stored.get() }
  }

  /// Reads every chunk and returns all errors, each with its file, tensor and chunk, where `verify` stops at the first.
  ///
  /// - Parameter file: the shard whose chunks to read; nil for all.
  public func damage(in file: String? = nil, threads: Int = 1) -> [ForgeError] {
    let found = Mutex<[Int: ForgeError]>([:])
    // Nothing is thrown: failures are collected.
    try? forEach(indexedChunks.filter { file == nil || $0.chunk.file == file }, threads: threads) {
      position, stored, _ in
      guard case .failure(let error) = stored else { return }
      found.withLock { $0[position] = .bug(error) }
    }
    return found.withLock { found in found.sorted { $0.key < $1.key }.map(\.value) }
  }

  /// All chunks with their indices in their tensors, in the order of tensors.
  private var indexedChunks: [(chunk: ChunkRecord, index: Int)] {
    manifest.tensors.flatMap { tensor in
      (chunksByTensor[tensor.name] ?? []).enumerated().map { (chunk: $0.element, index: $0.offset) }
    }
  }

  // MARK: Files

  /// The shards and their lengths in bytes, present or not.
  public var fileLengths: [String: Int] {
    Dictionary(uniqueKeysWithValues: manifest.files.map { ($0.name, $0.length) })
  }

  /// The shards that are present with their full length.
  public var presentFiles: Set<String> {
    Set(manifest.files.filter { (try? checkLength($0)) != nil }.map(\.name))
  }

  /// The shards that `requests` read from.
  public func files(for requests: [Request]) throws -> Set<String> {
    Set(try requests.flatMap(slices).map(\.chunk.file))
  }

  /// The bytes of the manifest file.
  public func manifestBytes() throws -> [UInt8] { try ShardFile.contents("\(path)/\(CheckpointManifest.fileName)") }

  private func shard(_ name: String) throws -> ShardFile {
    try opened.withLock { opened in
      if let file = opened[name] { return file }
      let file = try ShardFile(path: "\(path)/\(name)", isLarge: true)
      opened[name] = file
      return file
    }
  }

  private func checkLength(_ file: CheckpointManifest.File) throws {
    var status = stat()
    guard stat("\(path)/\(file.name)", &status) == 0 else {
      throw ForgeError.badInput(
        "checkpoint '\(path)' is incomplete: \(file.name): \(String(cString: strerror(errno)))", code: .fileDamaged)
    }
    guard Int(status.st_size) == file.length else {
      throw ForgeError.badInput(
        "checkpoint '\(path)' is damaged: \(file.name) has \(status.st_size) bytes instead of \(file.length)",
        code: .fileDamaged)
    }
  }

  private func damaged(_ chunk: ChunkRecord, index: Int, _ defect: FormatError) -> ForgeError {
    ForgeError.badInput(
      "checkpoint '\(path)' is damaged: \(chunk.file), tensor '\(chunk.tensor)', chunk \(index) "
        + "(elements \(chunk.start) to \(chunk.start + chunk.count - 1)): \(defect.description)", code: .fileDamaged)
  }
}
