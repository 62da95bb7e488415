import Foundation
import Testing

@testable import DocumentText

/// Against the Encoding standard's own tables, by way of hashes that scripts/fixtures/encodings.py made of them.
@Suite struct TextEncodingTests {
  private struct Fixture: Decodable {
    var labels: [String: String]
    var hashes: [String: String]
  }

  private var fixture: Fixture {
    get throws {
      let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/encodings.json")
      return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: path))
    }
  }

  /// FNV-1a.
  private func hash(_ bytes: [UInt8]) -> String {
    let value = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  @Test func knowsEveryLabel() throws {
    for (label, name) in try fixture.labels {
      #expect(TextEncoding(label: " \(label.uppercased())\n")?.name == name)
    }
    #expect(TextEncoding(label: "klingon") == nil)
  }

  @Test func decodesAsTheStandardsIndexes() throws {
    for (name, expected) in try fixture.hashes {
      let encoding = try #require(TextEncoding(label: name))
      var text: [UInt8] = []
      if let table = SingleByteTables.tables[name] {
        #expect(table.count == 128)
        text = try encoding.decode((0x80...0xFF).map { UInt8($0) }[...]).bytes
      } else {
        let leads = name == "euc-jp" ? 0xA1...0xFE : name == "shift_jis" ? 0x81...0xFC : 0x81...0xFE
        let trails = name == "euc-jp" ? 0xA1...0xFE : 0x40...0xFE
        for lead in leads where name != "shift_jis" || !(0xA0...0xDF).contains(lead) {
          for trail in trails {
            let decoded = try encoding.decode([UInt8(lead), UInt8(trail)])
            let pair = decoded.bytes.count { $0 & 0xC0 != 0x80 }
            if decoded.replacements == 0, pair == 1 { text += decoded.bytes }
          }
        }
      }
      #expect(hash(text) == expected, "\(name)")
    }
  }

  @Test func replacesWhatMeansNothing() throws {
    func decode(_ label: String, _ bytes: [UInt8]) throws -> String {
      String(decoding: try #require(TextEncoding(label: label)).decode(bytes[...]).bytes, as: UTF8.self)
    }
    // The examples of the Unicode standard, table 3-8, and what the Encoding standard does with a bad trail byte.
    #expect(
      try decode("utf-8", [0xF4, 0x91, 0x92, 0x93, 0xFF, 0x41, 0x80, 0xBF, 0x42])
        == "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}A\u{FFFD}\u{FFFD}B")
    #expect(
      try decode("utf-8", [0xE1, 0x80, 0xE2, 0xF0, 0x91, 0x92, 0xF1, 0xBF, 0x41]) == "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}A"
    )
    #expect(try decode("shift_jis", [0x81, 0x3C, 0xFF, 0x82, 0xA0]) == "\u{FFFD}<\u{FFFD}あ")
    #expect(try decode("gbk", [0x81, 0xFF, 0xB0, 0xA1, 0x81, 0x30, 0x81, 0x30, 0x80]) == "\u{FFFD}啊\u{80}€")
    #expect(try decode("iso-2022-jp", Array("a\u{1B}$B$\u{22}\u{1B}(Bb".utf8)) == "aあb")
    #expect(try decode("utf-16", [0x41, 0, 0, 0xD8, 0x42, 0, 0x43]) == "A\u{FFFD}B\u{FFFD}")
  }
}
