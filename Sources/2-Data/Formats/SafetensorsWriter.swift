import FoundationEssentials
import Support

/// A streaming writer of tensors to one safetensors file, or to a Hugging Face folder's file or shards.
///
/// The tensors are declared first, because the header comes first; their values may then be written in any order and in
/// pieces. Nothing appears under its final name before `finish`.
public final class SafetensorsWriter {
  /// A tensor to be written.
  public struct Tensor: Sendable {
    public var name: String
    public var shape: [Int]
    public var dtype: ScalarType

    public init(name: String, shape: [Int], dtype: ScalarType) {
      precondition(dtype.convertsToFloat, "only F32, F16 and BF16 are written")
      self.name = name
      self.shape = shape
      self.dtype = dtype
    }

    var count: Int { shape.reduce(1, *) }
    var byteCount: Int { count * dtype.byteCount }
  }

  private struct Place {
    var file: OutputFile
    var offset: Int
    var tensor: Tensor
    var remaining: Int
  }

  private let files: [OutputFile]
  private var places: [String: Place]
  private let indexPath: String?
  private let index: ShardIndex

  /// One file holding all `tensors`.
  public convenience init(file path: String, tensors: [Tensor], metadata: [String: String] = ["format": "pt"]) throws {
    try self.init(groups: [tensors], paths: [path], indexPath: nil, metadata: metadata)
  }

  /// The weights of a Hugging Face folder, which must exist: `model.safetensors`, or, above `maximumShardByteCount`
  /// bytes, shards filled in the order of `tensors` and `model.safetensors.index.json`.
  public convenience init(
    folder: String, tensors: [Tensor], metadata: [String: String] = ["format": "pt"],
    maximumShardByteCount: Int = 5_000_000_000
  ) throws {
    var groups: [[Tensor]] = [[]]
    var filled = 0
    for tensor in tensors {
      if filled > 0, filled + tensor.byteCount > maximumShardByteCount {
        groups.append([])
        filled = 0
      }
      groups[groups.count - 1].append(tensor)
      filled += tensor.byteCount
    }
    guard groups.count < 100_000 else {
      throw ForgeError.badInput(
        "the weights would take \(groups.count) files, and 99999 are possible", hint: "allow larger ones", after: ": ",
        code: .invalidArgument)
    }
    let isSharded = groups.count > 1
    let paths = groups.indices.map { shard in
      let number = String(100_000 + shard + 1).dropFirst()
      let total = String(100_000 + groups.count).dropFirst()
      return isSharded
        ? "\(folder)/model-\(number)-of-\(total).safetensors" : "\(folder)/\(SafetensorsCollection.singleFileName)"
    }
    let indexPath = "\(folder)/\(SafetensorsCollection.indexFileName)"
    try self.init(groups: groups, paths: paths, indexPath: isSharded ? indexPath : nil, metadata: metadata)
  }

  private init(groups: [[Tensor]], paths: [String], indexPath: String?, metadata: [String: String]) throws {
    self.indexPath = indexPath
    var weightMap: [String: String] = [:]
    var places: [String: Place] = [:]
    files = try zip(groups, paths).map { group, path in
      let file = try OutputFile(path: path)
      let (header, offsets) = try Self.header(of: group, metadata: metadata)
      try header.withUnsafeBytes { try file.write($0, at: 0) }
      for (tensor, offset) in zip(group, offsets) {
        precondition(places[tensor.name] == nil, "tensor '\(tensor.name)' declared twice")
        places[tensor.name] = Place(file: file, offset: offset, tensor: tensor, remaining: tensor.count)
        weightMap[tensor.name] = path.split(separator: "/").last.map(String.init)
      }
      return file
    }
    self.places = places
    index = ShardIndex(
      metadata: .init(totalSize: groups.joined().reduce(0) { $0 + $1.byteCount }), weightMap: weightMap)
  }

  /// Writes a tensor's values, or with `elementOffset` a piece of them, in row-major order. Every element must be
  /// written once. Throws `tryAgain` when the disk is full or fails.
  public func write(
    _ name: String, elementOffset: Int = 0, _ values: UnsafeBufferPointer<Float>
  ) throws {
    guard let place = places[name] else { preconditionFailure("tensor '\(name)' was not declared") }
    let dtype = place.tensor.dtype
    precondition(elementOffset >= 0 && elementOffset + values.count <= place.tensor.count)
    let first = place.offset + elementOffset * dtype.byteCount
    if dtype == .float32 {
      try place.file.write(UnsafeRawBufferPointer(values), at: first)
    } else {
      try writeConverted(values, as: dtype, to: place.file, at: first)
    }
    places[name]?.remaining -= values.count
  }

  private func writeConverted(
    _ values: UnsafeBufferPointer<Float>, as dtype: ScalarType, to file: OutputFile, at first: Int
  ) throws {
    let blockCount = min(1 << 18, values.count)
    guard blockCount > 0 else { return }
    try withUnsafeTemporaryAllocation(byteCount: blockCount * dtype.byteCount, alignment: 64) { block in
      for start in stride(from: 0, to: values.count, by: blockCount) {
        let part = UnsafeBufferPointer(rebasing: values[start..<min(start + blockCount, values.count)])
        let bytes = UnsafeMutableRawBufferPointer(rebasing: block[..<(part.count * dtype.byteCount)])
        encodeFloats(part, as: dtype, into: bytes)
        try file.write(UnsafeRawBufferPointer(bytes), at: first + start * dtype.byteCount)
      }
    }
  }

  /// Completes the files and renames them to their final names, the index last.
  public func finish() throws {
    for (name, place) in places {
      precondition(place.remaining == 0, "tensor '\(name)' misses \(place.remaining) elements")
    }
    for file in files { try file.commit() }
    guard let indexPath else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let file = try OutputFile(path: indexPath)
    try file.append(encoder.encode(index))
    try file.commit()
  }

  /// A file's leading bytes (length and JSON, padded with spaces to a multiple of 8) and the tensors' file offsets.
  private static func header(of tensors: [Tensor], metadata: [String: String]) throws -> (Data, [Int]) {
    var entries: [String: SafetensorsHeader.Entry] = [SafetensorsHeader.Entry.metadataKey: .metadata(metadata)]
    var offsets: [Int] = []
    var end = 0
    for tensor in tensors {
      offsets.append(end)
      let range = [end, end + tensor.byteCount]
      entries[tensor.name] = .tensor(.init(dtype: tensor.dtype.rawValue, shape: tensor.shape, offsets: range))
      end += tensor.byteCount
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var json = try encoder.encode(entries)
    json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
    let header = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) } + json
    return (header, offsets.map { header.count + $0 })
  }
}
