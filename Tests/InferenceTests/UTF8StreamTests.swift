import Inference
import Testing

struct UTF8StreamTests {
  static let texts: [[UInt8]] = [
    Array("plain".utf8), Array("Grüße, мир, 世界, 🏳️‍🌈!".utf8),
    // Invalid: stray continuation bytes, a lead byte without its rest, an overlong form, a cut emoji, Latin-1.
    [0x80, 0x41, 0xBF, 0xBF], [0xE2, 0x82, 0x41], [0xC0, 0x80, 0xF8, 0x42], [0x43, 0xF0, 0x9F, 0x98],
    Array("caf".utf8) + [0xE9], [0xF0, 0x9F, 0xE2, 0x82, 0xAC],
  ]

  @Test(arguments: texts, 1...5)
  func unitsAddUpToTheWhole(bytes: [UInt8], size: Int) {
    var stream = UTF8Stream()
    var text = ""
    for start in stride(from: 0, to: bytes.count, by: size) {
      text += stream.append(bytes[start..<min(bytes.count, start + size)])
    }
    text += stream.finish()
    #expect(Array(text.utf8) == Array(String(decoding: bytes, as: UTF8.self).utf8))
  }

  @Test func aCharacterAppearsOnlyWhenItIsWhole() {
    var stream = UTF8Stream()
    let pieces = Array("é€😀".utf8).map { stream.append([$0]) }
    #expect(pieces == ["", "é", "", "", "€", "", "", "", "😀"])
  }
}
