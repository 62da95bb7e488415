import Foundation
import Support
import Testing

@testable import ConfigurationFiles

@Suite struct ConfigurationNodeTests {
  static func parse(_ text: String) throws -> ConfigurationNode {
    try ConfigurationNode.parse(text, source: "configs/x.yaml")
  }

  /// The sentence that `body` throws; empty when it throws none.
  static func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return ""
    } catch let error as ForgeError {
      #expect(error.exitCode == 64)
      return error.description
    } catch {
      return "another error: \(error)"
    }
  }

  @Test(arguments: [
    ("1e-05", ConfigurationNode.Value.number(1e-5)), ("1.0e-3", .number(1e-3)), (".5", .number(0.5)),
    ("-7", .integer(-7)), ("0x10", .integer(16)), ("1e6", .number(1e6)), ("-.inf", .number(-.infinity)),
    ("18446744073709551615", .number(18_446_744_073_709_551_616)),
    ("true", .boolean(true)), ("no", .string("no")), ("nan", .string("nan")), ("inf", .string("inf")),
    ("1_000", .string("1_000")), ("1.2.3", .string("1.2.3")), ("~", .null), ("", .null), ("'12'", .string("12")),
    ("\"true\"", .string("true")),
  ])
  func scalars(text: String, expected: ConfigurationNode.Value) throws {
    let location = ConfigurationNode.Location(source: "")
    #expect(try Self.parse(text) == ConfigurationNode(expected, at: location))
  }

  @Test func jsonAndYamlGiveTheSameTree() throws {
    let json = "{\"a\":1,\n\t\"b\":[1e-05,true,null],\"c\":{\"d\":\"x\\/y\\u00e9\"}}"
    let yaml = "a: 1\nb: [1.0e-5, true, null]\nc:\n  d: x/yé\n"
    #expect(try Self.parse(json) == Self.parse(yaml))
  }

  @Test func linesAreThoseOfTheFile() throws {
    let node = try Self.parse("a: 1\n\nb:\n  c: 2\n")
    #expect(node["b"]?["c"]?.location.description == "configs/x.yaml:4")
    #expect(node.entry("b")?.location.line == 3)
  }

  @Test func marksAndTheirEncodings() throws {
    let text = "run: { name: \"größe\" }\n"
    let path = FileManager.default.temporaryDirectory.appending(path: "mark-\(UUID().uuidString).yaml").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (encoding, mark) in [
      (String.Encoding.utf8, [UInt8]()), (.utf8, [0xEF, 0xBB, 0xBF]), (.utf16LittleEndian, [0xFF, 0xFE]),
      (.utf16BigEndian, [0xFE, 0xFF]),
    ] {
      try (Data(mark) + #require(text.data(using: encoding))).write(to: URL(filePath: path))
      #expect(try ConfigurationNode.load(path: path) == Self.parse(text))
    }
    // An odd byte, and half of a surrogate pair.
    for bytes: [UInt8] in [[0xFF, 0xFE, 0x61], [0xFF, 0xFE, 0x00, 0xD8]] {
      try Data(bytes).write(to: URL(filePath: path))
      #expect(Self.message { _ = try ConfigurationNode.load(path: path) }.contains("is not UTF-8 text"))
    }
  }

  @Test func duplicateKeysAreRefused() {
    let message = Self.message { _ = try Self.parse("a: 1\nb:\n  c: 2\n  'c': 3\n") }
    #expect(message.hasPrefix("configs/x.yaml:"))
    #expect(message.hasSuffix("key 'c' appears twice in the same mapping"))
  }

  @Test func brokenYamlNamesTheLine() {
    let message = Self.message { _ = try Self.parse("a: 1\nb: [1, 2\nc: 3\n") }
    #expect(message.hasPrefix("configs/x.yaml:3: not valid YAML"))
    #expect(!message.contains("\n"))
  }

  @Test func unreadableFilesAreOneSentence() throws {
    #expect(
      Self.message { _ = try ConfigurationNode.load(path: "/nonexistent/x.yaml") }
        == "cannot read the configuration '/nonexistent/x.yaml': No such file or directory")
    #expect(
      Self.message { _ = try ConfigurationNode.load(path: "/tmp") }
        == "cannot read the configuration '/tmp': Is a directory")
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).yaml").path
    try Data([0x61, 0x3A, 0x20, 0xFF]).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(Self.message { _ = try ConfigurationNode.load(path: path) }.hasSuffix("is not UTF-8 text"))
  }

  @Test func whatIsWrittenReadsBack() throws {
    let texts = [
      "plain", "true", "12", "1e5", "", "null", "a: b", "- x", "# no comment", " led by a space", "two\nlines\n", "é→字",
      "it's", "\"quoted\"", "\u{7}bell", "*star", "{x", "@at", "0x1F", "~", "C:\\path", "🙂", "trailing ", "%x",
    ]
    let location = ConfigurationNode.Location(source: "")
    func entry(_ key: String, _ value: ConfigurationNode.Value) -> ConfigurationNode.Entry {
      .init(key: key, location: location, node: ConfigurationNode(value, at: location))
    }
    let numbers: [Double] = [
      1e-5, 0.1, 3, 1e300, .leastNonzeroMagnitude, -0.25, .infinity, .nan, 123_456_789_012_345_680,
    ]
    let tree = ConfigurationNode(
      .mapping([
        entry("texts", .sequence(texts.map { ConfigurationNode(.string($0), at: location) })),
        entry("numbers", .sequence(numbers.map { ConfigurationNode(.number($0), at: location) })),
        entry("empty list", .sequence([])), entry("empty mapping", .mapping([])), entry("1", .boolean(false)),
        entry("nothing", .null), entry("true", .integer(.min)),
        entry(
          "nested",
          .sequence([ConfigurationNode(.mapping([entry("a", .string("x")), entry("b", .null)]), at: location)])),
      ]), at: location)
    #expect(try Self.parse(tree.yaml()) == tree)
    #expect(try Self.parse(tree.yaml()).yaml() == tree.yaml())
  }

  @Test(arguments: ["optimizer.name=", "optimizer.name= "]) func anOverrideHasAValue(_ assignment: String) throws {
    var node = try Self.parse("optimizer: {name: adamw}")
    let error = try #require(throws: ForgeError.self) { try node.set(assignment) }
    #expect(error.description.contains("there is no value after '='; write null for the default"))
  }

  @Test func overrides() throws {
    var node = try Self.parse("optimizer: {learning_rate: 1, name: adamw}\ndata:\n  train:\n  - path: a\nempty:\n")
    try node.set("optimizer.learning_rate=3e-4")
    try node.set("optimizer.betas=[0.9, 0.95]")
    try node.set("data.train.0.weight=2")
    try node.set("data.train.1.path=b=c")
    try node.set("new.section.key=text")
    try node.set("empty.key=true")
    try node.set("optimizer.name=null")
    let expected = """
      optimizer: {learning_rate: 3e-4, name: null, betas: [0.9, 0.95]}
      data: {train: [{path: a, weight: 2}, {path: b=c}]}
      empty: {key: true}
      new: {section: {key: text}}
      """
    #expect(try node == Self.parse(expected))
    #expect(node["optimizer"]?["learning_rate"]?.location.description == "--set optimizer.learning_rate=3e-4")
  }

  @Test func overridesThatCannotBeApplied() throws {
    var node = try Self.parse("a: 1\nb: [1, 2]\n")
    #expect(Self.message { try node.set("a") }.contains("expected KEY=VALUE"))
    #expect(Self.message { try node.set("a..b=1") } == "--set a..b=1: 'a..b' is not a key")
    #expect(Self.message { try node.set("a.x=1") } == "--set a.x=1: 'a' is 1, which has no key 'x'")
    #expect(Self.message { try node.set("b.3=1") } == "--set b.3=1: 'b' is a list of 2, which has no item '3'")
    #expect(Self.message { try node.set("a=[1") }.hasPrefix("--set a=[1:"))
    #expect(try node == Self.parse("a: 1\nb: [1, 2]\n"))
  }

  @Test func aliasesOfAliasesAreCounted() {
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in 1..<9 {
      let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
      text += "a\(level): &a\(level) [\(aliases)]\n"
    }
    #expect(throws: ForgeError.self) { try ConfigurationNode.parse(text, source: "bomb.yaml") }
  }
}
