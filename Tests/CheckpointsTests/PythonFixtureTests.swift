import Foundation
import Testing

@testable import Checkpoints

/// A checkpoint that scripts/fixtures/checkpoint.py wrote from docs/checkpoint-format.md, without this project's code.
@Suite struct PythonFixtureTests {
  let reader: CheckpointReader

  init() throws {
    let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    reader = try CheckpointReader(path: here.appendingPathComponent("Fixtures/step-00000007").path)
  }

  @Test func everyTensorHasTheValuesOfTheFormulas() throws {
    try reader.verify()
    #expect(try reader.bytes(of: "ramp") == raw((0..<1200).map { Float($0) / 64 }))
    #expect(try reader.bytes(of: "ramp", elements: 695..<705) == raw((695..<705).map { Float($0) / 64 }))
    #expect(try reader.bytes(of: "cubes") == raw((-50..<50).map { $0 * $0 * $0 }))
    #expect(try reader.bytes(of: "bytes") == (0..<300).map { UInt8($0 * 7 % 256) })
    #expect(try reader.bytes(of: "one") == raw([1.0 / 3]))
    let halves = (0..<64).map { UInt16((Float($0) * 0.5).bitPattern >> 16) }
    #expect(try reader.bytes(of: "halves") == raw(halves))
  }

  @Test func shapesAndMetadata() {
    #expect(reader["ramp"] == TensorDescription(name: "ramp", dtype: .f32, shape: [30, 40]))
    #expect(reader["one"]?.shape == [])
    #expect(reader.step == 7)
    #expect(reader.metadata == ["made_by": "Python", "numbers": [1, 2.5, nil]])
  }
}
