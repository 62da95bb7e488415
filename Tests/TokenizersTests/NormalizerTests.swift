import Foundation
import Testing

@testable import Tokenizers

@Suite struct NormalizerTests {
  private func normalized(_ steps: String, _ bytes: [UInt8]) throws -> [UInt8] {
    let parsed = try JSON(Array("{\"steps\": [\(steps)]}".utf8)).object().objects("steps")
    return try Normalizer(#require(parsed)).normalized(bytes) ?? bytes
  }

  @Test(
    "normal forms order marks behind every character, and leave what came after Unicode 9.0 alone",
    arguments: [
      ("NFD", "a\u{301}\u{F73}\u{323}\u{334}", "a\u{334}\u{F71}\u{F72}\u{323}\u{301}"),
      ("NFC", "a\u{301}\u{F73}\u{334}", "\u{E1}\u{334}\u{F71}\u{F72}"),
      ("NFKD", "\u{F77}\u{3099}", "\u{FB2}\u{3099}\u{F71}\u{F80}"),
      ("NFKC", "\u{FB01}\u{A0}e\u{301}\u{32FF}", "fi \u{E9}\u{32FF}"),
      ("NFC", "\u{10041}\u{301}\u{1100}\u{1161}\u{11A8}", "\u{10041}\u{301}\u{AC01}"),
      ("NFC", "e\u{302}\u{323}\u{1EB9}\u{302}\u{344}\u{958}", "\u{1EC7}\u{1EC7}\u{308}\u{301}\u{915}\u{93C}"),
      ("NFD", "\u{11938}\u{AC00}", "\u{11938}\u{1100}\u{1161}"),
      ("NFC", "a\u{1DF6}\u{323}", "a\u{1DF6}\u{323}"),
    ])
  func forms(form: String, text: String, expected: String) throws {
    #expect(try normalized("{\"type\": \"\(form)\"}", Array(text.utf8)) == Array(expected.utf8))
  }

  @Test("bytes that are no text stay, and what is around them is normalised")
  func strayBytes() throws {
    let bytes = [0x80] + Array("E\u{301}".utf8) + [0xFF, 0xE2, 0x82] + Array("É".utf8)
    let expected = [0x80] + Array("é".utf8) + [0xFF, 0xE2, 0x82] + Array("é".utf8)
    #expect(try normalized(#"{"type": "NFC"}, {"type": "Lowercase"}"#, bytes) == expected)
  }

  @Test("replacements that let a text grow without bound are refused")
  func growth() throws {
    let double = #"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#
    #expect(try normalized([double, double].joined(separator: ","), [0x61]).count == 4)
    #expect(throws: JSON.Malformed.self) {
      try normalized(Array(repeating: double, count: 60).joined(separator: ","), [0x61])
    }
  }
}
