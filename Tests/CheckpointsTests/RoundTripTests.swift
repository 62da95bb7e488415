import Foundation
import Support
import Testing

@testable import Checkpoints

@Suite struct RoundTripTests {
  let temporary: TestFolder
  let folder: CheckpointFolder
  let state = TestState()

  init() throws {
    temporary = try TestFolder()
    folder = CheckpointFolder(path: temporary.path + "/runs/x/checkpoints")
  }

  @Test(arguments: [1, 2, 3, 7], [1, 3])
  func whatIsWrittenReadsBack(ranks: Int, threads: Int) throws {
    try state.save(to: folder, step: 100, ranks: ranks, threads: threads)
    let reader = try CheckpointReader(path: folder.path(step: 100))
    try state.expectEqual(reader, threads: threads)
    try reader.verify(threads: threads)
    for rank in 0..<5 { try reader.verify(share: rank, of: 5) }
    #expect(reader.step == 100)
    #expect(reader.metadata["seed"]?.integer == 1)
  }

  @Test func anyRangeReadsBackWhateverTheWriters() throws {
    try state.save(to: folder, step: 1, ranks: 3)
    let reader = try CheckpointReader(path: folder.path(step: 1))
    var random = TestRandom(state: 7)
    for tensor in state.tensors where tensor.elementCount > 1 {
      let width = tensor.dtype.width
      for _ in 0..<50 {
        let bounds = [
          Int.random(in: 0...tensor.elementCount, using: &random), .random(in: 0...tensor.elementCount, using: &random),
        ]
        let range = (bounds.min() ?? 0)..<(bounds.max() ?? 0)
        let expected = state.bytes[tensor.name]?[range.lowerBound * width..<range.upperBound * width]
        #expect(try reader.bytes(of: tensor.name, elements: range)[...] == expected)
      }
    }
  }

  @Test func aRankThatOwnsNothingLeavesNoFile() throws {
    let partial = try folder.begin(step: 1)
    let tensor = TensorDescription(name: "x", dtype: .u8, shape: [3])
    let writer = try ChunkWriter(folder: partial, rank: 1, level: -50)
    try [UInt8](1...3).withUnsafeBytes { try writer.write(tensor: tensor, bytes: $0) }
    let chunks = try writer.finish() + ChunkWriter(folder: partial, rank: 0, level: -50).finish()
    try folder.commit(step: 1, tensors: [tensor], chunks: chunks, metadata: nil)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path(step: 1))
    #expect(names.sorted() == ["manifest.json", "shard-00001.forge"])
    #expect(try CheckpointReader(path: folder.path).bytes(of: "x") == [1, 2, 3])
  }

  @Test func threadsDoNotChangeTheFiles() throws {
    var files: Set<[Data]> = []
    for (step, threads) in [(1, 1), (2, 2), (3, 5)] {
      try state.save(to: folder, step: step, ranks: 2, threads: threads)
      let shards = (0..<2).map { URL(fileURLWithPath: "\(folder.path(step: step))/shard-0000\($0).forge") }
      files.insert(try shards.map { try Data(contentsOf: $0) })
    }
    #expect(files.count == 1)
  }

  @Test func onlyThePlanesThatCompressAreCompressed() throws {
    try state.save(to: folder, step: 1, chunkBytes: 1 << 20)
    let manifest = try CheckpointReader(path: folder.path(step: 1)).manifest
    func planes(_ name: String) throws -> [Int] { try #require(manifest.chunks.first { $0.tensor == name }).planes }
    let weights = try planes("model.embed_tokens.weight")
    #expect(weights[0] < 37 * 101 / 2, "signs and exponents shrink to less than half")
    #expect(Array(weights[1...]) == [3737, 3737, 3737], "mantissas are stored as they are")
    #expect(try planes("flags") == [5000])
    let sums = try planes("gradient.sums")
    #expect(sums.prefix(6).allSatisfy { $0 < 777 / 2 } && sums[7] == 777, "upper bytes of small integers are alike")
  }

  @Test func aLongPlaneIsTriedOnASampleOfIt() throws {
    let count = 1 << 18
    var random = TestRandom(state: 3)
    let tensor = TensorDescription(name: "w", dtype: .f32, shape: [count])
    let values = (0..<count).map { _ in weight(&random) }
    let partial = try folder.begin(step: 5)
    let writer = try ChunkWriter(folder: partial, rank: 0, level: -50)
    try values.withUnsafeBytes { try writer.write(tensor: tensor, bytes: $0) }
    let chunks = try writer.finish()
    #expect(chunks.count == 1)
    #expect(chunks[0].planes[0] < count / 2 && chunks[0].planes[2] == count && chunks[0].planes[3] == count)
    try folder.commit(step: 5, tensors: [tensor], chunks: chunks, metadata: nil)
    #expect(try CheckpointReader(path: folder.path).bytes(of: "w") == raw(values))
  }

  @Test func requestsOfManyTensorsAreReadTogether() throws {
    try state.save(to: folder, step: 1, ranks: 2)
    let reader = try CheckpointReader(path: folder.path(step: 1))
    var weights = [Float](repeating: 0, count: 101)
    var sums = [Int](repeating: 0, count: 10)
    try weights.withUnsafeMutableBytes { weights in
      try sums.withUnsafeMutableBytes { sums in
        try reader.read(
          [
            .init(tensor: "model.norm.weight", elements: 0..<101, destination: weights),
            .init(tensor: "gradient.sums", elements: 500..<510, destination: sums),
          ], threads: 2)
      }
    }
    #expect(raw(weights) == state.bytes["model.norm.weight"])
    #expect(raw(sums)[...] == state.bytes["gradient.sums"]?[4000..<4080])
  }

  @Test(arguments: ["", "/checkpoints", "/checkpoints/latest", "/checkpoints/step-00000002"])
  func pathsThatMeanTheLatest(suffix: String) throws {
    try state.save(to: folder, step: 1)
    try state.save(to: folder, step: 2)
    #expect(try CheckpointReader(path: temporary.path + "/runs/x" + suffix).step == 2)
  }

  @Test func metadataKeepsItsTypes() throws {
    let value: JSONValue = [
      "a": [1, 2.5, true, nil, "text / with \"quotes\" and é"], "large": .integer(.max), "tiny": 5.0e-300,
      "nested": ["empty": [:], "list": []],
    ]
    let decoded = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
    #expect(decoded == value)
    #expect(decoded["a"] != nil && decoded["b"] == nil && decoded["large"]?.integer == .max)
  }
}
