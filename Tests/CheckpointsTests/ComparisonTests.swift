import Foundation
import Support
import Testing

@testable import Checkpoints

@Suite struct ComparisonTests {
  let temporary: TestFolder
  let folder: CheckpointFolder

  init() throws {
    temporary = try TestFolder()
    folder = CheckpointFolder(path: temporary.path + "/checkpoints")
  }

  private func save(step: Int, _ tensors: [(TensorDescription, [UInt8])], metadata: JSONValue = [:]) throws
    -> CheckpointReader
  {
    let writer = try ChunkWriter(folder: folder.begin(step: step), rank: 0, level: -50, chunkBytes: 64)
    for (tensor, bytes) in tensors {
      try bytes.withUnsafeBytes { try writer.write(tensor: tensor, bytes: $0) }
    }
    try folder.commit(step: step, tensors: tensors.map(\.0), chunks: writer.finish(), metadata: metadata)
    return try CheckpointReader(path: folder.path(step: step))
  }

  private func tensor(_ name: String, _ dtype: ElementType, _ count: Int) -> TensorDescription {
    TensorDescription(name: name, dtype: dtype, shape: [count])
  }

  @Test func equalOnesAreEqual() throws {
    try TestState().save(to: folder, step: 1, ranks: 3)
    let first = try CheckpointReader(path: folder.path(step: 1))
    let other = CheckpointFolder(path: temporary.path + "/other")
    try TestState().save(to: other, step: 1, ranks: 2, level: 3, chunkBytes: 512)
    let comparison = try CheckpointComparison(first, CheckpointReader(path: other.path), threads: 2)
    #expect(comparison.isEqual && comparison.equalTensors == first.tensors.count)
  }

  @Test func everyDifferenceIsTold() throws {
    var values = (0..<100).map { Float($0) }
    let first = try save(
      step: 1,
      [
        (tensor("w", .f32, 100), raw(values)), (tensor("old", .u8, 1), [1]), (tensor("s", .u8, 2), [1, 2]),
        (tensor("same", .u8, 1), [5]),
      ], metadata: ["a": ["b": 1, "c": 2], "gone": "x"])
    values[3] += 0.5
    values[70] -= 2
    let second = try save(
      step: 2,
      [
        (tensor("w", .f32, 100), raw(values)), (tensor("new", .u8, 1), [1]),
        (TensorDescription(name: "s", dtype: .u8, shape: [2, 1]), [1, 2]), (tensor("same", .u8, 1), [5]),
      ], metadata: ["a": ["b": 1, "c": 3]])
    let comparison = try CheckpointComparison(first, second)
    #expect(!comparison.isEqual && comparison.equalTensors == 1)
    #expect(comparison.onlyInFirst.map(\.name) == ["old"] && comparison.onlyInSecond.map(\.name) == ["new"])
    #expect(comparison.reshaped.map(\.first.name) == ["s"])
    let change = try #require(comparison.changed.first)
    #expect(change.tensor == "w" && change.differing == 2 && change.count == 100 && change.largest == 2)
    #expect(comparison.metadata.map(\.key) == ["a.c", "gone"])
    #expect(comparison.metadata.last?.second == nil)
  }

  @Test(arguments: [
    (ElementType.f16, raw([UInt16(0x3C00)]), raw([UInt16(0xC000)]), 3.0),  // 1 and -2
    (.f16, raw([UInt16(0x0400)]), raw([UInt16(0)]), 0x1p-14), (.bf16, raw([UInt16(0x3F80)]), raw([UInt16(0x4000)]), 1),
    (.f64, raw([1.0]), raw([1.25]), 0.25), (.i8, raw([Int8(-100)]), raw([Int8(100)]), 200),
    (.u64, raw([UInt64.max]), raw([UInt64(0)]), 0x1p64), (.f32, raw([Float(0)]), raw([-Float(0)]), 0),
    (.f16, raw([UInt16(0x7C00)]), raw([UInt16(0)]), .infinity),
  ])
  func numbersOfEveryKind(_ dtype: ElementType, _ left: [UInt8], _ right: [UInt8], _ largest: Double) throws {
    let comparison = try CheckpointComparison(
      save(step: 1, [(tensor("x", dtype, 1), left)]), save(step: 2, [(tensor("x", dtype, 1), right)]))
    #expect(comparison.changed.first?.differing == 1 && comparison.changed.first?.largest == largest)
  }

  @Test func aNumberThatIsNoneStaysTheLargestDifference() throws {
    let comparison = try CheckpointComparison(
      save(step: 1, [(tensor("x", .f32, 3), raw([Float(1), .nan, 1]))]),
      save(step: 2, [(tensor("x", .f32, 3), raw([Float(2), 1, 9]))]))
    #expect(comparison.changed.first?.differing == 3 && comparison.changed.first?.largest.isNaN == true)
  }

  @Test func storageIsToldPlaneByPlane() throws {
    let reader = try save(step: 1, [(tensor("w", .f32, 64), raw((0..<64).map { Float($0) / 64 }))])
    let storage = try #require(reader.storage.first)
    #expect(storage.chunks == 4 && storage.planes.count == 4 && storage.rawBytes == 256)
    #expect(storage.storedBytes == reader.storedBytes && reader.rawBytes == 256)
  }

  @Test func allDamageIsTold() throws {
    let reader = try save(step: 1, [(tensor("w", .u8, 256), (0..<256).map { UInt8($0) })])
    #expect(reader.damage(threads: 2).isEmpty)
    let shard = reader.path + "/shard-00000.forge"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: shard))
    for chunk in [reader.manifest.chunks[1], reader.manifest.chunks[3]] { bytes[chunk.offset] ^= 1 }
    try bytes.write(to: URL(fileURLWithPath: shard))
    let damage = try CheckpointReader(path: reader.path).damage(threads: 2).map(\.description)
    #expect(damage.count == 2 && damage[0].contains("'w', chunk 1 (elements 64") && damage[1].contains("chunk 3 "))
  }
}
