import Testing

@testable import Checkpoints

/// Numbers that no checkpoint has: each is rejected before it is computed with.
@Suite struct ManifestNumbersTests {
  private func chunk(_ edit: (inout ChunkRecord) -> Void) -> ChunkRecord {
    var chunk = ChunkRecord(
      tensor: "a", start: 0, count: 4, file: "shard-00000.forge", offset: 0, length: 16, rawLength: 16,
      encoding: .planes, planes: [4, 4, 4, 4], sha256: String(repeating: "0", count: 64))
    edit(&chunk)
    return chunk
  }

  private func manifest(shapes: [[Int]] = [[4]], _ chunks: [ChunkRecord]) -> CheckpointManifest {
    var manifest = CheckpointManifest(
      step: 1, metadata: nil, tensors: shapes.map { TensorDescription(name: "a", dtype: .f32, shape: $0) }, chunks: [])
    manifest.chunks = chunks
    manifest.files = [CheckpointManifest.File(name: "shard-00000.forge", length: 16)]
    return manifest
  }

  @Test func soundNumbersAreAccepted() throws { try manifest([chunk { _ in }]).validate() }

  @Test func othersAreRefused() {
    for most in [Int.max, Int.max / 2, -1, Int.min] {
      let edits: [(inout ChunkRecord) -> Void] = [
        { $0.start = most }, { $0.count = most }, { $0.offset = most }, { $0.length = most }, { $0.rawLength = most },
        { $0.planes = [most, most, most, most] },
      ]
      for edit in edits { #expect(throws: FormatError.self) { try manifest([chunk(edit)]).validate() } }
      #expect(throws: FormatError.self) { try manifest(shapes: [[most, 3]], [chunk { _ in }]).validate() }
    }
    #expect(throws: FormatError.self) { try manifest(shapes: [[1 << 40, 1 << 40]], []).validate() }
    #expect(throws: FormatError.self) { try manifest(shapes: [[0], [0]], []).validate() }
  }
}
