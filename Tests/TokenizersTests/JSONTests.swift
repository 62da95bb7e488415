import Foundation
import Testing

@testable import Tokenizers

@Suite struct JSONTests {
  @Test("values are read, keys in order and strings byte for byte")
  func values() throws {
    let text =
      "\u{FEFF} {\"b\": [1, -2.5e1, true, null], \"e\u{301}\": \"\\u00e9\\ud83d\\ude00\\n/\", \"\u{E9}\": {}}\n"
    let object = try JSON(Array(text.utf8)).object()
    #expect(object.members.map { Array($0.key.utf8) } == ["b", "e\u{301}", "\u{E9}"].map { Array($0.utf8) })
    let values = try #require(try object.array("b"))
    guard case .integer(1) = values[0], case .number(-25) = values[1], case .boolean(true) = values[2],
      case .null = values[3], case .string(let string) = object.members[1].value
    else {
      Issue.record("\(object)")
      return
    }
    #expect(Array(string.utf8) == Array("\u{E9}\u{1F600}\n/".utf8))
  }

  @Test(
    "what is not JSON is refused with its line",
    arguments: [
      ("", "ends too early"),
      ("{\n\"a\": 1,\n\"a\": 2}", "line 3: the key 'a' stands twice"),
      ("[1,]", "value is missing"),
      ("[1 2]", "',' or ']'"), ("{\"a\" 1}", "':'"), ("{a: 1}", "key is missing"), ("\"a", "no end"),
      ("\"\\ud800\"", "surrogate"), ("\"\\ud800\\u0041\"", "surrogate"), ("\"\\u00g0\"", "hexadecimal"),
      ("\"\\x\"", "escape"), ("\"a\nb\"", "control character"), ("01", "follows"), ("-", "no digits"),
      ("1.", "no digits"), ("1e", "no digits"), ("1e999", "too large"), ("nul", "value is missing"), ("1 1", "follows"),
      (String(repeating: "[", count: 60_000), "deep"), ("{\"\\n\": 1, \"\\n\": 1}", "'\\u{a}'"),
    ])
  func malformed(text: String, reason: String) {
    let error = #expect(throws: JSON.Malformed.self) { try JSON(Array(text.utf8)) }
    #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "nothing")")
    #expect(error?.reason.contains("\n") == false)
  }

  @Test("a key that stands twice among many is found, and keys that are only equivalent are two")
  func manyKeys() throws {
    let keys = (0..<1000).map { "\"key \($0)\": 0" }
    #expect(try JSON(Array("{\(keys.joined(separator: ","))}".utf8)).object().members.count == 1000)
    #expect(throws: JSON.Malformed.self) { try JSON(Array("{\((keys + [keys[500]]).joined(separator: ","))}".utf8)) }
    #expect(throws: JSON.Malformed.self) { try JSON([0x22, 0xFF, 0x22]) }
  }
}
