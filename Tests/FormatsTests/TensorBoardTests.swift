import Foundation
import Testing

@testable import Formats

@Suite struct TensorBoardTests {
  /// The check value of the CRC catalogue, and RFC 3720's 32 zero bytes.
  @Test func computesCRC32C() {
    #expect(CRC32C.checksum("123456789".utf8) == 0xE306_9283)
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
  }

  private func scalar(_ value: Float, _ tag: String, _ step: Int, _ time: Double = 1) -> [UInt8] {
    TensorBoardEvents.scalar(value, tag: tag, step: step, wallTime: time)
  }

  @Test func writesTheRecordsOfTensorBoard() throws {
    let records =
      scalar(9.25, "train/loss", 1, 1_700_000_000.5) + scalar(1e-3, "learning_rate", 300, 1_700_000_001.25)
      + scalar(.infinity, "train/loss", 5_000_000_000, 1_700_000_002) + scalar(-0.0, "größe", 7, 0.5)
    #expect(records == (try readBytes(fixture("scalars.tfrecords"))))
    #expect(String(decoding: header(), as: UTF8.self).contains("brain.Event:2"))
  }

  private func header(_ writer: String = "mine") -> [UInt8] { TensorBoardEvents.header(writer: writer, wallTime: 1) }

  private func kept(_ contents: [UInt8], through step: Int) -> TensorBoardEvents.Kept? {
    contents.withUnsafeBytes { TensorBoardEvents.kept(of: $0, writer: "mine", through: step) }
  }

  @Test func findsWhereTheRecordsOfLaterStepsBegin() {
    let begin = header() + TensorBoardEvents.sessionStart(step: 3, wallTime: 1)
    let third = scalar(1, "a", 3) + scalar(2, "b", 3)
    let whole = begin + third + scalar(1, "a", 4)
    #expect(kept(whole, through: 4) == .init(bytes: whole.count, hasScalars: true))
    #expect(kept(whole, through: 3) == .init(bytes: begin.count + third.count, hasScalars: true))
    #expect(kept(whole, through: 2) == .init(bytes: header().count, hasScalars: false))
    #expect(kept(Array(whole.dropLast()), through: 9) == .init(bytes: begin.count + third.count, hasScalars: true))
    var damaged = whole
    damaged[begin.count + 20] ^= 1
    #expect(kept(damaged, through: 9) == .init(bytes: begin.count, hasScalars: false))
  }

  @Test func filesOfOthersAreNotLookedAt() {
    #expect(kept(header("theirs") + scalar(1, "a", 4), through: 1) == nil)
    #expect(kept(scalar(1, "a", 4), through: 9) == nil, "no writer is named")
    #expect(kept([], through: 1) == nil && kept(Array("nothing of the kind, not even nearly".utf8), through: 1) == nil)
  }
}
