import FoundationEssentials
import Support

/// The weights of a Hugging Face folder: one `model.safetensors`, or the shards listed in
/// `model.safetensors.index.json`.
public struct SafetensorsCollection: Sendable {
  public static let singleFileName = "model.safetensors"
  public static let indexFileName = "model.safetensors.index.json"

  public let path: String
  /// Every tensor's description, over all files.
  public let tensors: [String: SafetensorsFile.TensorInfo]
  private let files: [String: SafetensorsFile]

  /// Opens a folder, or a single `.safetensors` file.
  ///
  /// Throws `badInput` when the folder has no weights, when a shard is missing or damaged, or when a shard lacks a
  /// tensor that the index places in it.
  public init(path: String) throws {
    self.path = path
    let single = path.hasSuffix(".safetensors") ? path : "\(path)/\(Self.singleFileName)"
    let indexPath = "\(path)/\(Self.indexFileName)"
    if FileManager.default.fileExists(atPath: single) {
      let file = try SafetensorsFile(path: single)
      tensors = file.tensors
      files = file.tensors.mapValues { _ in file }
    } else if FileManager.default.fileExists(atPath: indexPath) {
      (tensors, files) = try Self.openShards(of: ShardIndex(path: indexPath), in: path, indexPath: indexPath)
    } else {
      throw ForgeError.badInput(
        "'\(path)' has neither \(Self.singleFileName) nor \(Self.indexFileName)", code: .fileNotFound)
    }
  }

  /// The names of the files that hold the tensors.
  public var fileNames: Set<String> {
    Set(files.values.compactMap { $0.path.split(separator: "/").last.map(String.init) })
  }

  /// The file that holds the tensor; throws `badInput` when none does.
  public func file(holding name: String) throws -> SafetensorsFile {
    guard let file = files[name] else {
      throw ForgeError.badInput("'\(path)' has no tensor '\(name)'", code: .weightsMismatch)
    }
    return file
  }

  /// Reads a whole tensor as `Float`; see ``SafetensorsFile/read(_:shape:into:)``.
  public func read(
    _ name: String, shape: [Int]? = nil, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    try file(holding: name).read(name, shape: shape, into: destination)
  }

  /// Reads a range of the elements of a tensor of this shape, in row-major order, as `Float`.
  public func read(
    _ name: String, shape: [Int], elements: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let file = try file(holding: name)
    _ = try file.info(name, shape: shape)
    try file.read(name, elements: elements, into: destination)
  }

  /// Whether two tensors have the same shape and values.
  public func areEqual(_ first: String, _ second: String) throws -> Bool {
    let (left, right) = (try file(holding: first), try file(holding: second))
    let info = try left.info(first)
    guard try right.info(second).shape == info.shape else { return false }
    let blockCount = min(1 << 16, max(1, info.count))
    return try withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * blockCount) { block in
      for start in stride(from: 0, to: info.count, by: blockCount) {
        let elements = start..<min(start + blockCount, info.count)
        let values = UnsafeMutableBufferPointer(rebasing: block[..<elements.count])
        let others = UnsafeMutableBufferPointer(rebasing: block[blockCount..<blockCount + elements.count])
        try left.read(first, elements: elements, into: values)
        try right.read(second, elements: elements, into: others)
        guard values.elementsEqual(others) else { return false }
      }
      return true
    }
  }

  /// Opens the files that the index lists, with all of their tensors, also those that are not in the index.
  private static func openShards(
    of index: ShardIndex, in folder: String, indexPath: String
  ) throws -> ([String: SafetensorsFile.TensorInfo], [String: SafetensorsFile]) {
    var shards: [String: SafetensorsFile] = [:]
    var tensors: [String: SafetensorsFile.TensorInfo] = [:]
    var files: [String: SafetensorsFile] = [:]
    for (name, shardName) in index.weightMap.sorted(by: { $0.key < $1.key }) {
      guard !shardName.contains("/") else {
        throw ForgeError.badInput(
          "'\(indexPath)' places tensor '\(name)' outside its folder: '\(shardName)'", code: .malformedFile)
      }
      let shard = try shards[shardName] ?? SafetensorsFile(path: "\(folder)/\(shardName)")
      shards[shardName] = shard
      guard let info = shard.tensors[name] else {
        throw ForgeError.badInput(
          "'\(indexPath)' places tensor '\(name)' in \(shardName), which does not have it", code: .malformedFile)
      }
      tensors[name] = info
      files[name] = shard
    }
    for (shardName, shard) in shards.sorted(by: { $0.key < $1.key }) {
      for (name, info) in shard.tensors where index.weightMap[name] == nil {
        guard tensors[name] == nil else {
          throw ForgeError.badInput(
            "tensor '\(name)' is in \(shardName) and in another file of '\(folder)', and '\(indexPath)' does not say "
              + "which counts", code: .malformedFile)
        }
        tensors[name] = info
        files[name] = shard
      }
    }
    return (tensors, files)
  }
}

/// The contents of `model.safetensors.index.json`.
struct ShardIndex: Codable {
  struct Metadata: Codable {
    /// Bytes of all tensors together.
    var totalSize: Int

    enum CodingKeys: String, CodingKey { case totalSize = "total_size" }
  }

  var metadata: Metadata?
  /// From tensor name to file name.
  var weightMap: [String: String]

  enum CodingKeys: String, CodingKey {
    case metadata
    case weightMap = "weight_map"
  }

  init(metadata: Metadata, weightMap: [String: String]) {
    self.metadata = metadata
    self.weightMap = weightMap
  }

  init(path: String) throws {
    let file = try MappedFile(path: path)
    do {
      let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
      let text = file.bytes.starts(with: mark) ? file.bytes.dropFirst(mark.count) : file.bytes[...]
      self = try JSONDecoder().decode(ShardIndex.self, from: Data(text))
    } catch {
      throw ForgeError.badInput(
        "'\(path)' is not a safetensors index: it needs a \"weight_map\" object of strings", code: .malformedFile)
    }
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    weightMap = try container.decode([String: String].self, forKey: .weightMap)
    // Informative only, and some tools write it as a float.
    metadata = try? container.decode(Metadata.self, forKey: .metadata)
  }
}
