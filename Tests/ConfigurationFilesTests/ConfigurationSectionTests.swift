import Testing

@testable import ConfigurationFiles

@Suite struct ConfigurationSectionTests {
  static func section(_ text: String) throws -> ConfigurationSection {
    try ConfigurationSection(ConfigurationNodeTests.parse(text))
  }

  @Test func values() throws {
    let section = try Self.section(
      """
      steps: 1e4
      rate: 1
      name: x
      flag: true
      betas: [0.9, 1]
      layers: [1, 2]
      kinds: [a, b]
      none: null
      train: [{path: a}, {path: b}]
      """)
    #expect(try section.integer("steps") == 10000)
    #expect(try section.number("rate") == 1)
    #expect(try section.string("name") == "x")
    #expect(try section.boolean("flag") == true)
    #expect(try section.numbers("betas") == [0.9, 1])
    #expect(try section.integers("layers") == [1, 2])
    #expect(try section.strings("kinds") == ["a", "b"])
    #expect(try section.string("none") == nil)
    #expect(try section.sections("train")?.map { try $0.string("path") } == ["a", "b"])
    #expect(!section.contains("none") && !section.contains("absent") && section.contains("flag"))
    try section.finish()
  }

  @Test(arguments: [
    ("number", "configs/x.yaml:2: o.a must be a number, not 'abc'"),
    ("integer", "configs/x.yaml:3: o.b must be a whole number, not 1.5"),
    ("boolean", "configs/x.yaml:2: o.a must be true or false, not 'abc'"),
    ("string", "configs/x.yaml:3: o.b must be text, not 1.5"),
    ("numbers", "configs/x.yaml:4: o.c must be a list of numbers, but holds 'x'"),
    ("list", "configs/x.yaml:2: o.a must be a list of numbers, not 'abc'"),
    ("section", "configs/x.yaml:4: o.c must be a mapping of keys to values, not a list"),
    ("sections", "configs/x.yaml:4: o.c.0 must be a mapping of keys to values, not 1"),
    ("error", "configs/x.yaml:3: o.b must be positive"),
    ("absent", "configs/x.yaml:2: o.z is missing"),
  ])
  func wrongTypes(reader: String, expected: String) throws {
    let section = try #require(try Self.section("o:\n  a: abc\n  b: 1.5\n  c: [1, x]\n").section("o"))
    let message = ConfigurationNodeTests.message {
      switch reader {
      case "number": _ = try section.number("a")
      case "integer": _ = try section.integer("b")
      case "boolean": _ = try section.boolean("a")
      case "string": _ = try section.string("b")
      case "numbers": _ = try section.numbers("c")
      case "list": _ = try section.numbers("a")
      case "section": _ = try section.section("c")
      case "sections": _ = try section.sections("c")
      case "error": throw section.error("b", "must be positive")
      default: throw section.error("z", "is missing")
      }
    }
    #expect(message == expected)
  }

  @Test func unknownKeysNameTheNearest() throws {
    let root = try Self.section("run:\n  name: x\n\n\n\noptimizer:\n  learning_rte: 1\n")
    _ = try root.section("run")?.string("name")
    let optimizer = try root.section("optimizer")
    _ = try optimizer?.number("learning_rate")
    _ = try optimizer?.number("weight_decay")
    #expect(
      ConfigurationNodeTests.message { try root.finish() }
        == "configs/x.yaml:7: unknown key 'optimizer.learning_rte'; did you mean 'learning_rate'?")
    try optimizer?.finish(alsoAllowed: ["learning_rte"])
    try root.finish()
  }

  @Test func unknownKeysWithoutANeighbourListWhatThereIs() throws {
    let root = try Self.section("model: 1\ntelemetry: true\n")
    _ = try root.integer("model")
    #expect(
      ConfigurationNodeTests.message { try root.finish(alsoAllowed: ["data"]) }
        == "configs/x.yaml:2: unknown key 'telemetry'; the keys here are: data, model")
  }

  @Test func anEmptyFileIsAnEmptySection() throws {
    let root = try Self.section("")
    #expect(try root.section("run") == nil)
    try root.finish()
  }

  @Test(arguments: [
    ("kitten", "sitting", 3), ("ab", "ba", 1), ("", "abc", 3), ("learning_rte", "learning_rate", 1), ("ca", "abc", 3),
  ])
  func editDistances(left: String, right: String, expected: Int) {
    #expect(editDistance(Array(left.utf8), Array(right.utf8)) == expected)
    #expect(editDistance(Array(right.utf8), Array(left.utf8)) == expected)
  }
}
