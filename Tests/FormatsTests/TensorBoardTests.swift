import Foundation
import Testing

@testable import Formats

@Suite struct TensorBoardTests {
  /// The check value of the CRC catalogue, and RFC 3720's 32 zero bytes.
  @Test func computesCRC32C() {
    #expect(CRC32C.checksum("123456789".utf8) == 0xE306_9283)
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
  }

  @Test func writesTheRecordsOfTensorBoard() throws {
    try withTemporaryFolder { folder in
      let writer = try TensorBoardWriter(directory: folder)
      #expect(writer.path.contains("/events.out.tfevents."))
      let start = try readBytes(writer.path).count
      #expect(String(decoding: try readBytes(writer.path), as: UTF8.self).contains("brain.Event:2"))
      writer.add(scalar: 9.25, tag: "train/loss", step: 1, wallTime: 1_700_000_000.5)
      writer.add(scalar: 1e-3, tag: "learning_rate", step: 300, wallTime: 1_700_000_001.25)
      writer.add(scalar: .infinity, tag: "train/loss", step: 5_000_000_000, wallTime: 1_700_000_002)
      writer.add(scalar: -0.0, tag: "größe", step: 7, wallTime: 0.5)
      try writer.flush()
      let records = try readBytes(writer.path).dropFirst(start)
      #expect(Array(records) == (try readBytes(fixture("scalars.tfrecords"))))
    }
  }

  @Test func startsAnotherFileInTheSameFolder() throws {
    try withTemporaryFolder { folder in
      let writers = try (0..<3).map { _ in try TensorBoardWriter(directory: folder) }
      #expect(Set(writers.map(\.path)).count == 3)
      expectBadInput("/absent/") { try TensorBoardWriter(directory: folder + "/absent") }
    }
  }
}
