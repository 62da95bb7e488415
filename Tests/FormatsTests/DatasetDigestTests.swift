import Foundation
import Support
import Testing

@testable import Formats

@Suite struct DatasetDigestTests {
  /// Writes documents with chunks of 16 bytes; returns the digest.
  private func write(_ documents: [[Int32]], prefix: String) throws -> DatasetDigest {
    let writer = try IndexedDatasetWriter(prefix: prefix, tokenType: .uint16, chunkByteCount: 16)
    for document in documents { try document.withUnsafeBufferPointer { _ = try writer.append(document: $0) } }
    return try writer.finish()
  }

  @Test(arguments: [[], [[]], [[1, 2, 3]], [[7, 8, 9, 10, 11, 12, 13, 14]], [Array(0..<100), [5], Array(50..<99)]])
  func whatIsHashedWhileWritingIsOnDisk(documents: [[Int32]]) throws {
    try withTemporaryFolder { folder in
      let prefix = folder + "/a"
      let digest = try write(documents, prefix: prefix)
      for chunk in digest.chunks {
        let hash = try FileDigest.hash(path: prefix + chunk.file.rawValue, bytes: chunk.bytes)
        #expect(hash.hexadecimal == digest[chunk])
      }
      for file in DatasetDigest.File.allCases {
        let size = try Data(contentsOf: URL(fileURLWithPath: prefix + file.rawValue)).count
        #expect(digest[file].byteCount == size)
        #expect(digest.chunks.filter { $0.file == file }.reduce(0) { $0 + $1.bytes.count } == size)
      }
      try digest.write(prefix: prefix)
      #expect(try DatasetDigest(prefix: prefix) == digest)
    }
  }

  /// The text of docs/formats.md.
  @Test func theRootIsTheHashOfItsText() throws {
    let digest = DatasetDigest(
      chunkByteCount: 4, data: FileDigest(byteCount: 5, chunks: ["aa", "bb"]),
      index: FileDigest(byteCount: 1, chunks: ["cc"]))
    let text = "forge-dataset 1\nchunk_bytes 4\nbin 5\naa\nbb\nidx 1\ncc\n"
    #expect(digest.root == SHA256.hash(text).hexadecimal)
  }

  @Test(arguments: [
    "", "[]", "{\"version\": 1}",
    "{\"version\":1,\"chunk_bytes\":0,\"bin\":{\"bytes\":0,\"sha256\":[]},"
      + "\"idx\":{\"bytes\":0,\"sha256\":[]}}",
    "{\"version\":1,\"chunk_bytes\":4,\"bin\":{\"bytes\":9,\"sha256\":[]},\"idx\":{\"bytes\":0,\"sha256\":[]}}",
    "{\"version\":1,\"chunk_bytes\":4,\"bin\":{\"bytes\":-9,\"sha256\":[]},\"idx\":{\"bytes\":0,\"sha256\":[]}}",
    "{\"version\":1,\"chunk_bytes\":1,\"bin\":{\"bytes\":9223372036854775807,\"sha256\":[]},"
      + "\"idx\":{\"bytes\":0,\"sha256\":[]}}",
  ])
  func damageIsNamed(text: String) {
    #expect(throws: ForgeError.self) { try DatasetDigest(json: Data(text.utf8), path: "x.digest.json") }
  }
}
