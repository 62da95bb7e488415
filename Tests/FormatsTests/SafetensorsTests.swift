import Foundation
import Support
import Testing

@testable import Formats

@Suite struct SafetensorsTests {
  private func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
    var values = [Float](repeating: 0, count: try file.info(name).count)
    try values.withUnsafeMutableBufferPointer { try file.read(name, into: $0) }
    return values
  }

  private func bits16(_ file: SafetensorsFile, _ name: String) throws -> [UInt16] {
    try file.withBytes(of: name) { bytes in
      (0..<bytes.count / 2).map { bytes.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self) }
    }
  }

  @Test func readsHeader() throws {
    let file = try SafetensorsFile(path: fixture("conversions.safetensors"))
    #expect(file.metadata == ["format": "pt", "note": "quotes \" and ü"])
    #expect(try file.info("integers").shape == [2, 3])
    #expect(try file.info("integers").dtype == .int64)
    #expect(try file.info("empty").shape == [0, 4])
    #expect(try file.info("scalar").shape == [])
    #expect(try floats(file, "scalar") == [2.5])
  }

  @Test(arguments: ["float16", "bfloat16"])
  func readsHalvesAsTorchDoes(name: String) throws {
    let file = try SafetensorsFile(path: fixture("conversions.safetensors"))
    let expected = try floats(file, name + ".float32")
    for (value, expected) in zip(try floats(file, name), expected) {
      #expect(value.isNaN ? expected.isNaN : value.bitPattern == expected.bitPattern)
    }
  }

  @Test(arguments: [ScalarType.float16, .bfloat16, .float32])
  func writesAsTorchDoes(dtype: ScalarType) throws {
    let source = try SafetensorsFile(path: fixture("conversions.safetensors"))
    let values = try floats(source, "float32")
    try withTemporaryFolder { folder in
      let path = folder + "/out.safetensors"
      let writer = try SafetensorsWriter(
        file: path, tensors: [.init(name: "x", shape: [values.count], dtype: dtype)], metadata: ["format": "pt"])
      try values.withUnsafeBufferPointer { values in
        try writer.write("x", elementOffset: 500, UnsafeBufferPointer(rebasing: values[500...]))
        #expect(!FileManager.default.fileExists(atPath: path))
        try writer.write("x", UnsafeBufferPointer(rebasing: values[..<500]))
      }
      try writer.finish()
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["out.safetensors"])

      let written = try SafetensorsFile(path: path)
      #expect(written.metadata == ["format": "pt"])
      #expect(try written.info("x").byteRange.lowerBound % 8 == 0)
      switch dtype {
      case .float16: #expect(try bits16(written, "x") == bits16(source, "float32.float16"))
      case .bfloat16: #expect(try bits16(written, "x") == bits16(source, "float32.bfloat16"))
      default: #expect(try floats(written, "x") == values)
      }
    }
  }

  @Test func roundsNaNToNaN() {
    #expect(floatFromBFloat16(bfloat16FromFloat(.nan)).isNaN)
    #expect(floatFromBFloat16(bfloat16FromFloat(Float(bitPattern: 0xFFFF_FFFF))).isNaN)
    #expect(floatFromBFloat16(bfloat16FromFloat(Float(bitPattern: 0x7F80_0001))).isNaN)
  }

  @Test func readsRangeOfElements() throws {
    let file = try SafetensorsFile(path: fixture("conversions.safetensors"))
    let all = try floats(file, "float32")
    var part = [Float](repeating: 0, count: 5)
    try part.withUnsafeMutableBufferPointer { try file.read("float32", elements: 10..<15, into: $0) }
    #expect(part == Array(all[10..<15]))
  }

  // MARK: Folders

  @Test func readsShardsOfHuggingFaceHub() throws {
    let collection = try SafetensorsCollection(path: fixture("sharded"))
    #expect(collection.tensors.count == 5)
    #expect(Set(try collection.tensors.keys.map { try collection.file(holding: $0).path }).count > 1)
    for layer in 0..<5 {
      var values = [Float](repeating: 0, count: 32)
      try values.withUnsafeMutableBufferPointer {
        try collection.read("layers.\(layer).weight", shape: [4, 8], into: $0)
      }
      #expect(values == [Float](repeating: Float(layer + 1), count: 32))
    }
  }

  @Test func writesShards() throws {
    try withTemporaryFolder { folder in
      let tensors = (0..<5).map { SafetensorsWriter.Tensor(name: "t\($0)", shape: [2, 4], dtype: .float32) }
      let writer = try SafetensorsWriter(folder: folder, tensors: tensors, maximumShardByteCount: 70)
      for (index, tensor) in tensors.enumerated().reversed() {
        try [Float](repeating: Float(index), count: 8).withUnsafeBufferPointer { try writer.write(tensor.name, $0) }
      }
      try writer.finish()
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
          "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors",
          "model.safetensors.index.json",
        ])
      let index = try ShardIndex(path: folder + "/model.safetensors.index.json")
      #expect(index.metadata?.totalSize == 5 * 8 * 4)
      #expect(index.weightMap["t4"] == "model-00003-of-00003.safetensors")
      let collection = try SafetensorsCollection(path: folder)
      #expect(try floats(collection.file(holding: "t3"), "t3") == [Float](repeating: 3, count: 8))
    }
  }

  @Test func reportsFoldersWithoutTheirWeights() throws {
    try withTemporaryFolder { folder in
      expectBadInput(folder, "model.safetensors") { try SafetensorsCollection(path: folder) }
      let index = #"{"weight_map": {"a": "model-00001-of-00001.safetensors"}}"#
      try writeBytes(index.utf8, to: folder + "/model.safetensors.index.json")
      expectBadInput("model-00001-of-00001.safetensors") { try SafetensorsCollection(path: folder) }
      try writeBytes(file(header: "{}", dataCount: 0), to: folder + "/model-00001-of-00001.safetensors")
      expectBadInput("'a'", "does not have it") { try SafetensorsCollection(path: folder) }
      try writeBytes(#"{"weight_map": {"a": "../x.safetensors"}}"#.utf8, to: folder + "/model.safetensors.index.json")
      expectBadInput("outside its folder") { try SafetensorsCollection(path: folder) }
      try writeBytes("[]".utf8, to: folder + "/model.safetensors.index.json")
      expectBadInput("weight_map") { try SafetensorsCollection(path: folder) }
    }
  }

  // MARK: Damage

  private func file(header: String, dataCount: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
      + [UInt8](repeating: 0, count: dataCount)
  }

  @Test(arguments: [
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#, 7, "is truncated"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#, 9, "1 bytes after its last tensor"),
    (#"{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}"#, 8, "needs 12"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}"#, 8, "invalid data_offsets"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}"#, 8, "invalid data_offsets"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}"#, 8, "invalid data_offsets"),
    (#"{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}"#, 8, "impossible shape"),
    (#"{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]}}"#, 0, "impossible shape"),
    (#"{"a": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]}}"#, 8, "unknown type 'Q9'"),
    (#"{"a": {"dtype": "F32", "shape": [2]}}"#, 8, "entry 'a"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}"#, 12, "unused bytes before it"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}"#, 8, "not valid JSON"),
    (
      #"{"a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}, "b": {"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
      12, "tensor 'b'"
    ),
  ])
  func reportsDamage(header: String, dataCount: Int, message: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/damaged.safetensors"
      try writeBytes(file(header: header, dataCount: dataCount), to: path)
      expectBadInput(path, message) { try SafetensorsFile(path: path) }
    }
  }

  @Test func reportsTruncation() throws {
    let bytes = try readBytes(fixture("conversions.safetensors"))
    try withTemporaryFolder { folder in
      let path = folder + "/truncated.safetensors"
      for count in [0, 7, 8, 100, bytes.count / 2, bytes.count - 1] {
        try writeBytes(bytes.prefix(count), to: path)
        expectBadInput(path) { try SafetensorsFile(path: path) }
      }
      expectBadInput("missing.safetensors") { try SafetensorsFile(path: folder + "/missing.safetensors") }
    }
  }

  @Test func reportsMissingAndMisshapenTensors() throws {
    let file = try SafetensorsFile(path: fixture("conversions.safetensors"))
    var values = [Float](repeating: 0, count: 6)
    values.withUnsafeMutableBufferPointer { values in
      expectBadInput(file.path, "no tensor 'absent'") { try file.read("absent", into: values) }
      expectBadInput("'scalar'", "shape []", "expected [6]") { try file.read("scalar", shape: [6], into: values) }
      expectBadInput("'scalar'", "1 elements instead of 6") { try file.read("scalar", into: values) }
      expectBadInput("'integers'", "I64") { try file.read("integers", into: values) }
    }
  }
}
