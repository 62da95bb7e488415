import FoundationEssentials
import Support

/// The checked header of a safetensors file.
package struct SafetensorsHeader {
  package private(set) var tensors: [String: SafetensorsFile.TensorInfo] = [:]
  var metadata: [String: String] = [:]

  /// The format's own limit on the header, against hostile files.
  private static let maximumByteCount = 100_000_000

  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - path: the file's name in messages.
  /// - Throws: `ForgeError.badInput` when the header is inconsistent with itself or with the file.
  package init(_ bytes: UnsafeRawBufferPointer, path: String) throws {
    guard bytes.count >= 8 else {
      throw ForgeError.badInput(
        "'\(path)' is not a safetensors file: it has only \(bytes.count) bytes", code: .malformedFile)
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= Self.maximumByteCount else {
      throw ForgeError.badInput(
        "'\(path)' is not a safetensors file: its header would have \(length) bytes", code: .malformedFile)
    }
    let dataStart = 8 + Int(length)
    guard dataStart <= bytes.count else {
      throw ForgeError.badInput(
        "'\(path)' is truncated: its header has \(length) bytes but the file only \(bytes.count)", code: .fileDamaged)
    }
    let entries: [String: Entry]
    do {
      entries = try JSONDecoder().decode([String: Entry].self, from: Data(bytes[8..<dataStart]))
    } catch {
      throw ForgeError.badInput(
        "'\(path)' has a damaged safetensors header: \(Self.explanation(of: error))", code: .fileDamaged)
    }
    for (name, entry) in entries {
      switch entry {
      case .metadata(let strings): metadata = strings
      case .tensor(let fields):
        tensors[name] = try Self.check(fields, name: name, path: path, dataStart: dataStart, fileSize: bytes.count)
      }
    }
    try checkLayout(path: path, dataStart: dataStart, fileSize: bytes.count)
  }

  /// Checks one tensor's fields on their own.
  private static func check(
    _ fields: Fields, name: String, path: String, dataStart: Int, fileSize: Int
  ) throws -> SafetensorsFile.TensorInfo {
    guard let dtype = ScalarType(rawValue: fields.dtype) else {
      throw ForgeError.badInput(
        "tensor '\(name)' in '\(path)' has unknown type '\(fields.dtype)'", code: .unsupportedFormat)
    }
    var byteCount = dtype.byteCount
    for size in fields.shape {
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: size)
      guard size >= 0, !overflow else {
        throw ForgeError.badInput(
          "tensor '\(name)' in '\(path)' has an impossible shape \(fields.shape)", code: .malformedFile)
      }
      byteCount = product
    }
    let offsets = fields.offsets
    guard offsets.count == 2, 0 <= offsets[0], offsets[0] <= offsets[1] else {
      throw ForgeError.badInput(
        "tensor '\(name)' in '\(path)' has invalid data_offsets \(offsets)", code: .malformedFile)
    }
    guard offsets[1] - offsets[0] == byteCount else {
      throw ForgeError.badInput(
        "tensor '\(name)' in '\(path)' has \(offsets[1] - offsets[0]) bytes, but \(dtype.rawValue) of shape "
          + "\(fields.shape) needs \(byteCount)", code: .malformedFile)
    }
    guard offsets[1] <= fileSize - dataStart else {
      throw ForgeError.badInput(
        "'\(path)' is truncated: tensor '\(name)' ends at byte \(offsets[1]) of the data, which has "
          + "\(fileSize - dataStart)", code: .fileDamaged)
    }
    return .init(dtype: dtype, shape: fields.shape, byteRange: dataStart + offsets[0]..<dataStart + offsets[1])
  }

  /// The tensors must cover the data exactly: no overlap, no gap, nothing after the last.
  private func checkLayout(path: String, dataStart: Int, fileSize: Int) throws {
    let ordered = tensors.sorted {
      ($0.value.byteRange.lowerBound, $0.value.byteRange.upperBound)
        < ($1.value.byteRange.lowerBound, $1.value.byteRange.upperBound)
    }
    var end = dataStart
    for (name, info) in ordered {
      guard info.byteRange.lowerBound == end else {
        let fault = info.byteRange.lowerBound < end ? "overlaps the tensor before it" : "has unused bytes before it"
        throw ForgeError.badInput("tensor '\(name)' in '\(path)' \(fault)", code: .malformedFile)
      }
      end = info.byteRange.upperBound
    }
    guard end == fileSize else {
      throw ForgeError.badInput("'\(path)' has \(fileSize - end) bytes after its last tensor", code: .malformedFile)
    }
  }

  private static func explanation(of error: any Error) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    let context =
      switch error {
      case .dataCorrupted(let context), .keyNotFound(_, let context): context
      case .typeMismatch(_, let context), .valueNotFound(_, let context): context
      @unknown default: DecodingError.Context(codingPath: [], debugDescription: "\(error)")
      }
    let place = context.codingPath.map(\.stringValue).joined(separator: ".")
    return place.isEmpty ? "it is not valid JSON" : "entry '\(place)': \(context.debugDescription)"
  }
}

extension SafetensorsHeader {
  /// A tensor's fields as stored.
  struct Fields: Codable {
    var dtype: String
    var shape: [Int]
    var offsets: [Int]

    enum CodingKeys: String, CodingKey {
      case dtype, shape
      case offsets = "data_offsets"
    }
  }

  /// A value of the header's JSON object: the metadata under its reserved key, a tensor under any other.
  enum Entry: Codable {
    case metadata([String: String])
    case tensor(Fields)

    static let metadataKey = "__metadata__"

    init(from decoder: any Decoder) throws {
      self =
        decoder.codingPath.last?.stringValue == Self.metadataKey
        ? .metadata(try [String: String](from: decoder)) : .tensor(try Fields(from: decoder))
    }

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .metadata(let strings): try strings.encode(to: encoder)
      case .tensor(let fields): try fields.encode(to: encoder)
      }
    }
  }
}
