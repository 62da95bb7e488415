import Foundation
import Support

/// A chunk: one contiguous range of a tensor's elements in a shard file (docs/checkpoint-format.md).
public struct ChunkRecord: Codable, Sendable, Equatable {
  public enum Encoding: String, Codable, Sendable {
    /// Byte planes, most significant first.
    case planes
  }

  public var tensor: String
  /// The first element.
  public var start: Int
  /// The number of elements.
  public var count: Int
  public var file: String
  /// The offset of the first stored byte in `file`.
  public var offset: Int
  /// Stored bytes: the sum of `planes`.
  public var length: Int
  /// `count` times the width of an element.
  public var rawLength: Int
  public var encoding: Encoding
  /// Stored bytes of each plane. A plane of `count` bytes is stored raw, a shorter one is a zstd frame.
  public var planes: [Int]
  /// The SHA-256 of the stored bytes, hexadecimal.
  public var sha256: String

  var elements: Range<Int> { start..<start + count }
}

/// The manifest of a checkpoint: all tensors and chunks, of all ranks.
struct CheckpointManifest: Codable, Sendable {
  struct File: Codable, Sendable {
    var name: String
    /// Bytes.
    var length: Int
  }

  static let fileName = "manifest.json"
  static let currentFormat = "forge-checkpoint"
  static let currentVersion = 1

  var format = currentFormat
  var version = currentVersion
  var step: Int
  var metadata: JSONValue
  var files: [File]
  var tensors: [TensorDescription]
  var chunks: [ChunkRecord]

  /// Sorts the chunks by tensor and element, and derives the files from them.
  init(step: Int, metadata: JSONValue, tensors: [TensorDescription], chunks: [ChunkRecord]) {
    let place = Dictionary(tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    self.step = step
    self.metadata = metadata
    self.tensors = tensors
    self.chunks = chunks.sorted {
      (place[$0.tensor] ?? .max, $0.start) < (place[$1.tensor] ?? .max, $1.start)
    }
    var lengths: [String: Int] = [:]
    for chunk in chunks { lengths[chunk.file] = max(lengths[chunk.file] ?? 0, chunk.offset + chunk.length) }
    self.files = lengths.sorted { $0.key < $1.key }.map { File(name: $0.key, length: $0.value) }
  }

  // MARK: Text

  /// `"root":"` + 64 hexadecimal digits + `"}` + line feed.
  private static let tailLength = 75

  /// Encodes the file and its root hash: one line per file, tensor and chunk, then the SHA-256 of all lines before.
  func encoded() throws -> (bytes: [UInt8], root: String) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    func lines<Record: Encodable>(_ records: [Record]) throws -> String {
      let lines = try records.map { String(decoding: try encoder.encode($0), as: UTF8.self) }
      return "[\n" + lines.joined(separator: ",\n") + "\n]"
    }
    let metadata = String(decoding: try encoder.encode([self.metadata]), as: UTF8.self).dropFirst().dropLast()
    let body = """
      {"format":"\(format)","version":\(version),"step":\(step),
      "metadata":\(metadata),
      "files":\(try lines(files)),
      "tensors":\(try lines(tensors)),
      "chunks":\(try lines(chunks)),

      """
    let root = SHA256.hash(body).hexadecimal
    return (Array((body + "\"root\":\"\(root)\"}\n").utf8), root)
  }

  /// The root hash at the end of a manifest, not verified.
  static func root(of bytes: [UInt8]) -> String { String(decoding: bytes.suffix(67).prefix(64), as: UTF8.self) }

  /// Decodes and verifies what ``encoded()`` wrote.
  static func decode(_ bytes: [UInt8]) throws(FormatError) -> (manifest: CheckpointManifest, root: String) {
    guard bytes.count > tailLength else { throw FormatError("it is truncated") }
    let body = Array(bytes.dropLast(tailLength))
    let root = SHA256.hash(body).hexadecimal
    guard bytes.suffix(tailLength).elementsEqual("\"root\":\"\(root)\"}\n".utf8) else {
      throw FormatError("its contents do not match its root hash")
    }
    struct Header: Decodable { var format: String, version: Int }
    let decoder = JSONDecoder()
    guard let header = try? decoder.decode(Header.self, from: Data(bytes)), header.format == currentFormat else {
      throw FormatError("it is not a checkpoint's manifest")
    }
    guard header.version == currentVersion else {
      throw FormatError(
        "it has version \(header.version) of the format, and this program reads version \(currentVersion)")
    }
    do {
      return (try decoder.decode(CheckpointManifest.self, from: Data(bytes)), root)
    } catch {
      throw FormatError("it lacks a field or has one of a wrong type")
    }
  }

  // MARK: Consistency

  /// Validates that chunks cover every element of every tensor, and every byte of every file, exactly once.
  func validate() throws(FormatError) {
    try validateNumbers()
    var byTensor = Dictionary(grouping: chunks, by: \.tensor)
    for tensor in tensors {
      guard tensor.shape.allSatisfy({ $0 >= 0 }) else {
        throw FormatError("tensor '\(tensor.name)' has a negative size")
      }
      guard let chunks = byTensor.removeValue(forKey: tensor.name) ?? (tensor.elementCount == 0 ? [] : nil) else {
        throw FormatError("tensor '\(tensor.name)' has no chunks, or is listed twice")
      }
      var covered = 0
      for chunk in chunks.sorted(by: { $0.start < $1.start }) {
        guard chunk.start == covered, chunk.count > 0 else {
          throw FormatError("the chunks of tensor '\(tensor.name)' leave a gap or overlap at element \(covered)")
        }
        guard chunk.rawLength == chunk.count * tensor.dtype.width, chunk.planes.count == tensor.dtype.width,
          chunk.planes.allSatisfy({ $0 > 0 && $0 <= chunk.count }), chunk.length == chunk.planes.reduce(0, +)
        else {
          throw FormatError("tensor '\(tensor.name)' has a chunk at element \(chunk.start) whose lengths disagree")
        }
        covered += chunk.count
      }
      guard covered == tensor.elementCount else {
        throw FormatError("tensor '\(tensor.name)' has \(tensor.elementCount) elements, its chunks \(covered)")
      }
    }
    if let stray = byTensor.keys.min() {
      throw FormatError("it has chunks of a tensor '\(stray)' that it does not list")
    }
    try validateFiles()
  }

  /// Rejects numbers beyond any sensible ones, so that the arithmetic of the other checks cannot overflow.
  private func validateNumbers() throws(FormatError) {
    let most = 1 << 48
    func isSensible(_ numbers: [Int]) -> Bool { numbers.allSatisfy { (0...most).contains($0) } }
    var names: Set<String> = []
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else { throw FormatError("tensor '\(tensor.name)' is listed twice") }
      var count = 1
      for size in tensor.shape where size >= 0 {
        let (product, isTooLarge) = count.multipliedReportingOverflow(by: size)
        guard !isTooLarge, product <= most else { throw FormatError("tensor '\(tensor.name)' is too large to be one") }
        count = product
      }
    }
    guard step >= 0, isSensible(files.map(\.length)) else { throw FormatError("it has a number that cannot be") }
    for chunk in chunks {
      guard isSensible([chunk.start, chunk.count, chunk.offset, chunk.length, chunk.rawLength]),
        chunk.planes.count <= 8,
        isSensible(chunk.planes)
      else { throw FormatError("it has a chunk of tensor '\(chunk.tensor)' with a number that cannot be") }
    }
  }

  private func validateFiles() throws(FormatError) {
    var byFile = Dictionary(grouping: chunks, by: \.file)
    for file in files {
      guard !file.name.contains("/"), !file.name.hasPrefix(".") else {
        throw FormatError("'\(file.name)' is not the name of a shard")
      }
      var covered = 0
      for chunk in (byFile.removeValue(forKey: file.name) ?? []).sorted(by: { $0.offset < $1.offset }) {
        guard chunk.offset == covered else {
          throw FormatError("\(file.name) has a gap or an overlap at byte \(covered)")
        }
        covered += chunk.length
      }
      guard covered == file.length else {
        throw FormatError("\(file.name) has \(file.length) bytes, its chunks \(covered)")
      }
    }
    if let stray = byFile.keys.min() { throw FormatError("it has chunks in '\(stray)', which it does not list") }
  }
}

/// An error in the format of a checkpoint's part; it becomes a `ForgeError` once the path is known.
struct FormatError: Error {
  var description: String
  init(_ description: String) { self.description = description }
}
