import Foundation
import Support
import Testing

@testable import Checkpoints

/// Every kind of damage is detected and located, and the reader falls back to the checkpoint before.
@Suite struct DamageTests {
  let temporary: TestFolder
  let folder: CheckpointFolder
  let state = TestState()

  init() throws {
    temporary = try TestFolder()
    folder = CheckpointFolder(path: temporary.path)
    try state.save(to: folder, step: 100, ranks: 2)
    try TestState(seed: 2).save(to: folder, step: 200, ranks: 2)
  }

  private func file(_ name: String, step: Int = 200) -> String { "\(folder.path(step: step))/\(name)" }

  private func flip(_ path: String, _ offset: Int, bit: UInt8 = 1) throws {
    var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
    bytes[offset] ^= bit
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  /// The error message of the damage; also checks that step 100 is found instead.
  private func complaint() throws -> String {
    var complaints: [String] = []
    let reader = try CheckpointReader.newestSound(in: folder.path) { complaints.append($0.description) }
    #expect(reader?.step == 100)
    if let reader { try state.expectEqual(reader) }
    return complaints.joined(separator: "\n")
  }

  @Test func aFlippedBitInAnyPlaneOfAnyChunkNamesTheChunk() throws {
    let chunks = try CheckpointReader(path: folder.path(step: 200)).manifest.chunks
    #expect(chunks.count > 15)
    for (place, chunk) in chunks.enumerated() {
      let path = file(chunk.file)
      let intact = try Data(contentsOf: URL(fileURLWithPath: path))
      var planeStart = chunk.offset
      for plane in chunk.planes {
        let offset = planeStart + place % plane
        try flip(path, offset, bit: 1 << UInt8(place % 8))
        let message = try complaint()
        #expect(message.contains("step-00000200' is damaged: \(chunk.file), tensor '\(chunk.tensor)', chunk "))
        #expect(message.contains("(elements \(chunk.start) to \(chunk.start + chunk.count - 1))"))
        let reader = try CheckpointReader(path: folder.path(step: 200))
        #expect(throws: ForgeError.self) { try reader.bytes(of: chunk.tensor) }
        #expect(throws: ForgeError.self) { try reader.bytes(of: chunk.tensor, elements: chunk.start..<chunk.start + 1) }
        if place % 7 == 0, let other = chunks.first(where: { $0.tensor != chunk.tensor }) {
          #expect(throws: Never.self) { try reader.bytes(of: other.tensor) }
        }
        try intact.write(to: URL(fileURLWithPath: path))
        planeStart += plane
        if place % 5 != 0 { break }  // all planes of every fifth chunk are enough
      }
    }
  }

  @Test func aFlippedBitAnywhereInTheManifestIsNoticed() throws {
    let path = file("manifest.json")
    let intact = try Data(contentsOf: URL(fileURLWithPath: path))
    for offset in Array(stride(from: 0, to: intact.count, by: 97)) + Array(intact.count - 76..<intact.count) {
      try flip(path, offset, bit: 1 << UInt8(offset % 8))
      #expect(throws: ForgeError.self, "byte \(offset)") { try CheckpointReader(path: folder.path(step: 200)) }
      try intact.write(to: URL(fileURLWithPath: path))
    }
    try flip(path, 40)
    #expect(
      try complaint().contains("step-00000200' is damaged: manifest.json: its contents do not match its root hash"))
  }

  @Test func aFlippedBitAnywhereInLatestIsNamedAndSurvived() throws {
    let path = folder.path + "/latest"
    let intact = try Data(contentsOf: URL(fileURLWithPath: path))
    for offset in 0..<intact.count {
      try flip(path, offset)
      var complaints: [ForgeError] = []
      #expect(try CheckpointReader.newestSound(in: folder.path) { complaints.append($0) }?.step == 200)
      #expect(complaints.count == 1 && complaints[0].description.contains("latest'"), "byte \(offset)")
      #expect(throws: ForgeError.self) { try CheckpointReader(path: folder.path) }
      try intact.write(to: URL(fileURLWithPath: path))
    }
  }

  @Test func truncatedAndLengthenedShards() throws {
    let path = file("shard-00001.forge")
    let intact = try Data(contentsOf: URL(fileURLWithPath: path))
    try intact.dropLast(1).write(to: URL(fileURLWithPath: path))
    #expect(
      try complaint().contains("damaged: shard-00001.forge has \(intact.count - 1) bytes instead of \(intact.count)"))
    try (intact + [0]).write(to: URL(fileURLWithPath: path))
    #expect(try complaint().contains("has \(intact.count + 1) bytes"))
  }

  @Test func missingFiles() throws {
    try FileManager.default.removeItem(atPath: file("shard-00000.forge"))
    #expect(try complaint().contains("step-00000200' is incomplete: shard-00000.forge: No such file or directory"))
    try FileManager.default.removeItem(atPath: file("manifest.json"))
    #expect(try complaint().contains("step-00000200' is not a checkpoint: it has no manifest.json"))
  }

  @Test func swappedFiles() throws {
    let manager = FileManager.default
    let (left, right) = (file("shard-00000.forge"), file("shard-00000.forge", step: 100))
    try manager.moveItem(atPath: left, toPath: temporary.path + "/x")
    try manager.copyItem(atPath: right, toPath: left)
    #expect(try complaint().contains("shard-00000.forge"))
    try manager.removeItem(atPath: left)
    try manager.moveItem(atPath: temporary.path + "/x", toPath: left)
    try manager.removeItem(atPath: file("manifest.json"))
    try manager.copyItem(atPath: file("manifest.json", step: 100), toPath: file("manifest.json"))
    #expect(try complaint().contains("step-00000200"))
  }

  @Test func withoutAnySoundCheckpointNothingStartsAnew() throws {
    for step in [100, 200] { try flip(file("shard-00000.forge", step: step), 10) }
    let error = #expect(throws: ForgeError.self) { try CheckpointReader.newestSound(in: folder.path) }
    #expect(error?.description.contains("none of the 2 checkpoints") == true)
    #expect(error?.exitCode == 64)
    #expect(try CheckpointReader.newestSound(in: temporary.path + "/nowhere") == nil)
  }

  @Test func tensorsThatAreNotThere() throws {
    let reader = try CheckpointReader(path: folder.path(step: 100))
    let error = #expect(throws: ForgeError.self) {
      try reader.read(tensor: "model.missing", into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }
    #expect(error?.description.hasSuffix("has no tensor 'model.missing'") == true)
  }
}
