import ConfigurationFiles
import Support
import Testing

/// JSON that YAML is not, and texts that are neither.
struct JSONParserTests {
  private func parse(_ text: String) throws -> ConfigurationNode {
    try ConfigurationNode.parse(json: text.utf8, source: "x.json")
  }

  @Test func valuesKeepTheirKindsAndLines() throws {
    let text =
      "\u{FEFF}{\n\t\"a\": 1,\t\"b\": 1.0, \"c\": 1e-05,\r\n\"d\": [true, null, -Infinity],\n"
      + #""e": "\ud83d\ude00\ud83d \u00e9\n\/""# + "}\n "
    let node = try parse(text)
    let place = ConfigurationNode.Location(source: "x.json")
    func value(_ value: ConfigurationNode.Value) -> ConfigurationNode { .init(value, at: place) }
    #expect(node["a"] == value(.integer(1)) && node["b"] == value(.number(1)) && node["c"] == value(.number(1e-5)))
    #expect(
      node["d"] == value(.sequence([value(.boolean(true)), value(.null), value(.number(-.infinity))])))
    #expect(node["e"] == value(.string("😀\u{FFFD} é\n/")))
    #expect(node["d"]?.location.line == 3 && node["e"]?.location.line == 4)
    #expect(try parse("[]") == value(.sequence([])) && parse(" {} ") == value(.mapping([])))
  }

  @Test(arguments: [
    ("", ":1:"), ("{", ":1:"), ("{\"a\" 1}", "colon"), ("{\"a\": 1,}", "key"), ("[1 2]", "comma"), ("[1,]", "value"),
    ("{\"a\": 1, \"a\": 2}", "appears twice"), ("nul", "'nul' is no value"), ("01x", "no value"), ("1.", "no value"),
    ("\"a", "closing quote"), ("\"\\x\"", "escape"), ("\"\\u12g4\"", "hexadecimal"), ("\"a\nb\"", "line break"),
    ("{}\n{}", ":2:"), ("# x", "no value"),
  ])
  func otherTextsAreRefusedInOneSentence(text: String, hint: String) {
    let error = #expect(throws: ForgeError.self) { try parse(text) }
    #expect(error?.exitCode == 64 && error?.description.contains(hint) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasPrefix("x.json:") == true && error?.description.contains("\n") == false)
  }

  @Test func depthIsBounded() {
    let error = #expect(throws: ForgeError.self) { try parse(String(repeating: "[", count: 100_000)) }
    #expect(error?.description.contains("nested") == true)
  }
}
