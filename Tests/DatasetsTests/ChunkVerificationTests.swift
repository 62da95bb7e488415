import Formats
import Foundation
import Support
import Testing

@testable import Datasets

@Suite struct ChunkVerificationTests {
  /// A dataset of many chunks.
  private func dataset(in folder: String) throws -> (prefix: String, digest: DatasetDigest) {
    let prefix = folder + "/a"
    let writer = try IndexedDatasetWriter(prefix: prefix, tokenType: .uint16, chunkByteCount: 64)
    let document = (0..<20_000).map { Int32($0 % 1000) }
    document.withUnsafeBufferPointer { _ = try? writer.append(document: $0) }
    return (prefix, try writer.finish())
  }

  private func tasks(_ prefix: String, _ digest: DatasetDigest) -> [ChunkVerification.Task] {
    digest.chunks.map { ChunkVerification.Task(prefix: prefix, chunk: $0, expected: digest[$0]) }
  }

  @Test(arguments: [1, 3, 64]) func findsTheFirstDamage(threads: Int) throws {
    try withTemporaryFolder { folder in
      let (prefix, digest) = try dataset(in: folder)
      let all = try ChunkVerification.hash(tasks(prefix, digest), threads: threads)
      #expect(all.map { $0?.hexadecimal } == digest.chunks.map { digest[$0] })
      var bytes = try Data(contentsOf: URL(fileURLWithPath: prefix + ".bin"))
      for place in [30_000, 700, 20_000] { bytes[place] ^= 1 }
      try bytes.write(to: URL(fileURLWithPath: prefix + ".bin"))
      expectBadInput("a.bin", "bytes 640 to 704") {
        try ChunkVerification.hash(tasks(prefix, digest), threads: threads)
      }
    }
  }

  @Test func stopsAtItsDeadline() throws {
    try withTemporaryFolder { folder in
      let (prefix, digest) = try dataset(in: folder)
      let past = ContinuousClock.now - .seconds(1)
      let found = try ChunkVerification.hash(tasks(prefix, digest), threads: 2, deadline: past)
      #expect(found.allSatisfy { $0 == nil })
    }
  }

  @Test func aSampleIsAHundredth() throws {
    try withTemporaryFolder { folder in
      let digest = try dataset(in: folder).digest
      #expect(digest.chunks.count == 626)
      let samples = (0..<1000).map { ChunkVerification.sample(digest, key: $0) }
      #expect(samples.allSatisfy { $0.count == 7 })
      // Over many starts every chunk is verified.
      let seen = Set(samples.joined().map { "\($0.file) \($0.number)" })
      #expect(seen.count == 626)
      #expect(ChunkVerification.sample(digest, key: 1) == samples[1])
    }
  }

  @Test func usesAreRecordedOnce() throws {
    try withTemporaryFolder { folder in
      try "{\"train\": {\"sha256\": \"1\"}}".write(toFile: folder + "/dataset.json", atomically: true, encoding: .utf8)
      for run in [folder, folder, folder + "/gone"] { DatasetUse(run: run, sha256: "1").record(in: folder) }
      DatasetUse(run: "/", sha256: "2").record(in: folder)
      #expect(DatasetUse.runs(of: folder) == [folder])
      let lines = try String(contentsOfFile: folder + "/used_by.jsonl", encoding: .utf8).split(separator: "\n")
      #expect(lines.count == 3)
    }
  }
}
