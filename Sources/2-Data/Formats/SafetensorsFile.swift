import FoundationEssentials
import Support

/// A memory-mapped safetensors file, whose header is fully checked when it is opened.
///
/// The format: a little-endian `UInt64` with the header's length, a JSON header from tensor name to
/// `{"dtype", "shape", "data_offsets"}`, then the tensors' bytes without gaps.
/// See <https://huggingface.co/docs/safetensors>.
public final class SafetensorsFile: Sendable {
  /// The header's description of a tensor.
  public struct TensorInfo: Sendable, Equatable {
    public let dtype: ScalarType
    public let shape: [Int]
    /// Where the tensor's bytes are in the file.
    public let byteRange: Range<Int>
    public var count: Int { shape.reduce(1, *) }
  }

  public let tensors: [String: TensorInfo]
  /// The free-form strings under `__metadata__`.
  public let metadata: [String: String]
  public var path: String { file.path }
  private let file: MappedFile

  /// Throws `badInput`, naming the file and the tensor, when the file is truncated or its header is not consistent.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    let header = try SafetensorsHeader(file.bytes, path: path)
    self.file = file
    tensors = header.tensors
    metadata = header.metadata
  }

  /// The tensor's description; throws `badInput` when it is missing or, with `shape` given, has another shape.
  public func info(_ name: String, shape expected: [Int]? = nil) throws -> TensorInfo {
    guard let info = tensors[name] else {
      throw ForgeError.badInput("'\(path)' has no tensor '\(name)'", code: .weightsMismatch)
    }
    if let expected, info.shape != expected {
      throw ForgeError.badInput(
        "tensor '\(name)' in '\(path)' has shape \(info.shape), expected \(expected)", code: .weightsMismatch)
    }
    return info
  }

  /// Reads a whole F32, F16 or BF16 tensor as `Float`.
  ///
  /// Throws `badInput` when the tensor is missing, has another element type, another `shape` (when given) or another
  /// number of elements than `destination`.
  public func read(
    _ name: String, shape: [Int]? = nil, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let info = try info(name, shape: shape)
    guard info.count == destination.count else {
      throw ForgeError.badInput(
        "tensor '\(name)' in '\(path)' has shape \(info.shape), which is \(info.count) elements instead of "
          + "\(destination.count)", code: .weightsMismatch)
    }
    try read(name, elements: 0..<info.count, into: destination)
  }

  /// Reads a range of a tensor's elements, in row-major order, as `Float`.
  public func read(
    _ name: String, elements: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let info = try info(name)
    guard info.dtype.convertsToFloat else {
      throw ForgeError.badInput(
        "tensor '\(name)' in '\(path)' has type \(info.dtype.rawValue); only F32, F16 and BF16 can be read",
        code: .unsupportedFormat)
    }
    precondition(elements.upperBound <= info.count && elements.count == destination.count)
    let first = info.byteRange.lowerBound + elements.lowerBound * info.dtype.byteCount
    let bytes = file.bytes[first..<first + elements.count * info.dtype.byteCount]
    decodeFloats(UnsafeRawBufferPointer(rebasing: bytes), as: info.dtype, into: destination)
  }

  /// The tensor's bytes as stored, valid while the file object lives.
  public func withBytes<Result>(
    of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    try body(UnsafeRawBufferPointer(rebasing: file.bytes[info(name).byteRange]))
  }
}
