import Foundation
import Support

/// The content hash of a `.bin/.idx` pair, which identifies a dataset at any path.
///
/// The root is the SHA-256 of a text with the sizes and chunk hashes of both files (docs/formats.md), so it covers
/// every byte, and any chunk can be verified without reading the rest.
public struct DatasetDigest: Codable, Sendable, Equatable {
  public var version = 1
  public var chunkByteCount: Int
  /// Of the tokens, `PREFIX.bin`.
  public var data: FileDigest
  /// Of `PREFIX.idx`.
  public var index: FileDigest

  enum CodingKeys: String, CodingKey {
    case version
    case chunkByteCount = "chunk_bytes"
    case data = "bin"
    case index = "idx"
  }

  /// One of the pair's files.
  public enum File: String, Sendable, CaseIterable {
    case data = ".bin"
    case index = ".idx"
  }

  /// A chunk of one of the two files.
  public struct Chunk: Sendable, Equatable {
    public var file: File
    public var number: Int
    public var bytes: Range<Int>
  }

  public init(chunkByteCount: Int = FileDigest.standardChunkByteCount, data: FileDigest, index: FileDigest) {
    self.chunkByteCount = chunkByteCount
    self.data = data
    self.index = index
  }

  /// The root hash of both files, 64 hexadecimal digits.
  public var root: String {
    var text = "forge-dataset \(version)\nchunk_bytes \(chunkByteCount)\n"
    for (name, file) in [("bin", data), ("idx", index)] {
      text += "\(name) \(file.byteCount)\n"
      for chunk in file.chunks { text += chunk + "\n" }
    }
    return SHA256.hash(text).hexadecimal
  }

  public subscript(file: File) -> FileDigest { file == .data ? data : index }

  /// The recorded hash of a chunk.
  public subscript(chunk: Chunk) -> String { self[chunk.file].chunks[chunk.number] }

  /// The chunks of two files of these sizes, those of the tokens first.
  public static func chunks(
    dataByteCount: Int, indexByteCount: Int, chunkByteCount: Int = FileDigest.standardChunkByteCount
  ) -> [Chunk] {
    [(File.data, dataByteCount), (.index, indexByteCount)].flatMap { file, size in
      (0..<FileDigest.chunkCount(of: size, chunkByteCount: chunkByteCount)).map { number in
        let start = number * chunkByteCount
        return Chunk(file: file, number: number, bytes: start..<min(start + chunkByteCount, size))
      }
    }
  }

  public var chunks: [Chunk] {
    Self.chunks(
      dataByteCount: data.byteCount, indexByteCount: index.byteCount, chunkByteCount: chunkByteCount)
  }

  // MARK: On disk

  /// The path of a prepared dataset's digest: `PREFIX.digest.json`.
  public static func path(prefix: String) -> String { prefix + ".digest.json" }

  /// Reads a digest; nil when there is none.
  ///
  /// - Throws: `ForgeError.badInput` when the file is damaged.
  public init?(prefix: String) throws {
    let path = Self.path(prefix: prefix)
    guard let contents = try? Data(contentsOf: URL(fileURLWithPath: path)) else {
      guard !FileManager.default.fileExists(atPath: path) else {
        throw ForgeError.badInput(
          "cannot read '\(path)': \(systemMessage())", code: .system(errno, else: .fileUnreadable))
      }
      return nil
    }
    try self.init(json: contents, path: path)
  }

  /// - Parameter path: where the text came from, for messages.
  public init(json: Data, path: String) throws {
    func damaged(_ what: String) -> ForgeError {
      ForgeError.badInput(
        "'\(path)' is damaged: \(what)", hint: "prepare the dataset again, or remove the file", code: .fileDamaged)
    }
    guard let digest = try? JSONDecoder().decode(Self.self, from: json) else {
      throw damaged("it is not the digest of a dataset")
    }
    guard digest.version == 1 else { throw damaged("it has version \(digest.version), and version 1 is known") }
    guard digest.chunkByteCount > 0 else { throw damaged("its chunks have \(digest.chunkByteCount) bytes") }
    for file in [digest.data, digest.index] {
      let isWhole =
        file.byteCount >= 0
        && file.chunks.count == FileDigest.chunkCount(of: file.byteCount, chunkByteCount: digest.chunkByteCount)
        && file.chunks.allSatisfy(Self.isHash)
      guard isWhole else { throw damaged("its hashes are not those of a file of \(file.byteCount) bytes") }
    }
    self = digest
  }

  private static func isHash(_ text: String) -> Bool {
    text.utf8.count == 64
      && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }

  /// Writes the digest beside its dataset.
  ///
  /// - Throws: `ForgeError`.
  public func write(prefix: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
    let file = try OutputFile(path: Self.path(prefix: prefix))
    try file.append(try encoder.encode(self) + [UInt8(ascii: "\n")])
    try file.commit()
  }
}
