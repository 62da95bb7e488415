import Foundation
import Testing

@testable import Checkpoints

/// A folder that is removed after the test.
final class TestFolder {
  let path: String

  /// - Parameter isInMemory: for many small files, where the system has a folder in memory.
  init(isInMemory: Bool = false) throws {
    let memory = "/dev/shm"
    let isThere = isInMemory && FileManager.default.isWritableFile(atPath: memory)
    let above = isThere ? URL(fileURLWithPath: memory) : FileManager.default.temporaryDirectory
    path = above.appendingPathComponent("checkpoints-\(UUID())").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Numbers that do not depend on the run (SplitMix64).
struct TestRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

/// A small training state: weights whose exponents compress, noise that does not, zeros, and odd shapes.
struct TestState {
  static let chunkBytes = 4096
  static let blockBytes = 8192

  let tensors: [TensorDescription]
  var bytes: [String: [UInt8]]

  init(seed: UInt64 = 1) {
    tensors = [
      TensorDescription(name: "model.embed_tokens.weight", dtype: .f32, shape: [37, 101]),
      TensorDescription(name: "model.norm.weight", dtype: .f32, shape: [101]),
      TensorDescription(name: "optimizer.second_moment", dtype: .f64, shape: [1000]),
      TensorDescription(name: "model.half", dtype: .bf16, shape: [3, 5, 301]),
      TensorDescription(name: "gradient.sums", dtype: .i64, shape: [777]),
      TensorDescription(name: "flags", dtype: .u8, shape: [5000]),
      TensorDescription(name: "scalar", dtype: .f32, shape: []),
      TensorDescription(name: "nothing", dtype: .f32, shape: [0, 7]),
    ]
    var random = TestRandom(state: seed)
    bytes = [:]
    for tensor in tensors {
      let count = tensor.elementCount
      switch tensor.dtype {
      case .f32: bytes[tensor.name] = raw((0..<count).map { _ in weight(&random) })
      case .f64: bytes[tensor.name] = raw((0..<count).map { $0 < 600 ? 0 : Double.random(in: 0...1, using: &random) })
      case .i64: bytes[tensor.name] = raw((0..<count).map { _ in Int.random(in: -1000...1000, using: &random) })
      default:
        bytes[tensor.name] = (0..<count * tensor.dtype.width).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
    }
  }

  /// Saves the state as `ranks` ranks would, each with an equal share of every tensor's elements.
  func save(
    to folder: CheckpointFolder, step: Int, ranks: Int = 1, threads: Int = 1, level: Int = 1,
    chunkBytes: Int = chunkBytes
  ) throws {
    let partial = try folder.begin(step: step)
    var chunks: [ChunkRecord] = []
    for rank in (0..<ranks).reversed() {
      let writer = try ChunkWriter(
        folder: partial, rank: rank, level: level, threads: threads, chunkBytes: chunkBytes,
        blockBytes: Self.blockBytes, files: folder.files)
      for tensor in tensors {
        let range = tensor.elementCount * rank / ranks..<tensor.elementCount * (rank + 1) / ranks
        let width = tensor.dtype.width
        try (bytes[tensor.name] ?? []).withUnsafeBytes { all in
          let share = UnsafeRawBufferPointer(rebasing: all[range.lowerBound * width..<range.upperBound * width])
          try writer.write(tensor: tensor, elementOffset: range.lowerBound, bytes: share)
        }
      }
      chunks += try writer.finish()
    }
    try folder.commit(step: step, tensors: tensors, chunks: chunks, metadata: ["step": .integer(step), "seed": 1])
  }

  func expectEqual(_ reader: CheckpointReader, threads: Int = 1) throws {
    #expect(reader.tensors == tensors)
    for tensor in tensors { #expect(try reader.bytes(of: tensor.name, threads: threads) == bytes[tensor.name]) }
  }
}

/// A number like a weight: a few exponents, and sign and mantissa that are noise.
func weight(_ random: inout TestRandom) -> Float {
  let exponent = UInt32.random(in: 117...121, using: &random) << 23
  return Float(bitPattern: (UInt32(truncatingIfNeeded: random.next()) & 0x807F_FFFF) | exponent)
}

func raw<Element: BitwiseCopyable>(_ elements: [Element]) -> [UInt8] { elements.withUnsafeBytes { Array($0) } }

extension CheckpointReader {
  func bytes(of name: String, elements: Range<Int>? = nil, threads: Int = 1) throws -> [UInt8] {
    let tensor = try #require(self[name])
    var result = [UInt8](repeating: 0xAA, count: (elements?.count ?? tensor.elementCount) * tensor.dtype.width)
    try result.withUnsafeMutableBytes { try read(tensor: name, elements: elements, into: $0, threads: threads) }
    return result
  }
}
