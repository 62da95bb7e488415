import Support
import Testing

@testable import ConfigurationFiles

/// A small program's settings.
private struct Sample {
  enum Mode: String, CaseIterable { case fast, exact }

  let steps: Int
  let rate: Double?
  let mode: Mode
  let paths: [String]
  let hasSaving: Bool
  let every: Int

  init(_ root: SettingsReader) throws {
    let run = try root.section("run", isRequired: true, "The run.")
    steps = try run.required("steps", .integer(.positive), "Optimizer steps.")
    rate = try run.optional("rate", .number(.positive), without: "`none`", "Learning rate | peak.")
    mode = try run.value("mode", .choice, default: .exact, "Mode of work.")
    paths = try run.value(
      "data", .list(refusal: "names nothing") { try $0.required("path", .text, "Path of a file.") }, default: [],
      words: "nothing", "Files.")
    let saving = try root.section("saving", "How it is saved.")
    hasSaving = saving.isWritten
    every = try saving.value(
      "every", .integer(.atLeast(0)), default: steps / 5, words: "a fifth", "Steps between saves.")
    try saving.require(every <= steps, "every", "is \(every), more than run.steps = \(steps)")
  }

  static let catalog = SettingsCatalog { _ = try Sample($0) }

  static func read(_ text: String) throws -> Sample {
    let root = try ConfigurationSection(ConfigurationNode.parse(text, source: "x.yaml"))
    try catalog.checkKeys(of: root)
    return try Sample(SettingsReader(root))
  }
}

@Suite struct DeclaredSettingsTests {
  @Test func valuesAndDefaults() throws {
    let sample = try Sample.read("run: {steps: 1e2, mode: fast, data: [{path: a}, {path: b}]}")
    #expect(sample.steps == 100 && sample.rate == nil && sample.mode == .fast && sample.paths == ["a", "b"])
    #expect(!sample.hasSaving && sample.every == 20)
    #expect(try Sample.read("run: {steps: 5, rate: 1, mode: null}\nsaving: {every: 0}").every == 0)
    #expect(try Sample.read("run: {steps: 5}\nsaving: {}").hasSaving)
  }

  @Test(arguments: [
    ("", "x.yaml:1: run is missing"),
    ("run: {}", "x.yaml:1: run.steps is missing"),
    ("run: {steps: 0}", "x.yaml:1: run.steps must be positive, not 0"),
    ("run: {steps: x}", "x.yaml:1: run.steps must be a whole number, not 'x'"),
    ("run:\n  steps: 1\n  rate: 0", "x.yaml:3: run.rate must be positive, not 0; leave it out for none"),
    ("run: {steps: 1, mode: slow}", "x.yaml:1: run.mode 'slow' is not supported; use fast or exact"),
    ("run: {steps: 1, data: []}", "x.yaml:1: run.data names nothing"),
    ("run: {step: 1}", "x.yaml:1: unknown key 'run.step'; did you mean 'steps'?"),
    ("run: {steps: 1, data: [{pth: a}]}", "x.yaml:1: unknown key 'run.data.0.pth'; did you mean 'path'?"),
    ("run: {steps: 1}\nsavin: {}", "x.yaml:2: unknown key 'savin'; did you mean 'saving'?"),
    ("run: {steps: 1}\nsaving: {every: 2}", "x.yaml:2: saving.every is 2, more than run.steps = 1"),
  ])
  func mistakes(text: String, expected: String) {
    #expect(ConfigurationNodeTests.message { _ = try Sample.read(text) } == expected)
  }

  @Test func whatIsDeclaredIsListed() {
    let keys = Sample.catalog.settings.map(\.key)
    #expect(keys == ["run.steps", "run.rate", "run.mode", "run.data", "run.data.N.path", "saving.every"])
    #expect(Sample.catalog.repeated.isEmpty)
  }

  @Test func aSecondDeclarationIsFound() {
    let catalog = SettingsCatalog { root in
      let run = try root.section("run", "The run.")
      for _ in 0..<2 { _ = try run.required("steps", .integer(.positive), "Optimizer steps.") }
      _ = try root.section("run", "The run again.")
    }
    #expect(catalog.repeated == ["run", "run.steps"])
  }

  // MARK: Page

  static let empty = """
    # Page
    <!-- settings: run -->
    old
    <!-- end of settings -->
    by hand
    <!-- settings: saving -->
    <!-- end of settings -->
    """

  @Test func tablesAreWrittenBetweenTheirMarks() throws {
    let page = try SettingsPage(Sample.catalog).updated(Self.empty)
    #expect(page.contains("| `run.steps` | integer ≥ 1 | required | Optimizer steps. |"))
    #expect(page.contains("| `run.rate` | number > 0 | `none` | Learning rate \\| peak. |"))
    #expect(page.contains("| `run.mode` | `fast`, `exact` | `exact` | Mode of work. |"))
    #expect(page.contains("by hand") && !page.contains("old"))
    #expect(try SettingsPage(Sample.catalog).updated(page) == page)
  }

  @Test(arguments: [
    ("<!-- settings: saving -->\n", "", "'<!-- settings: saving -->'"),
    ("saving", "savng", "no place, or a second one"),
    ("old", "<!-- settings: run -->", "no place, or a second one"),
    ("# Page", "<!-- end of settings -->", "without a beginning"),
  ])
  func aPageThatDoesNotFit(old: String, new: String, expected: String) throws {
    var page = Self.empty.replacing(old, with: new)
    if new.isEmpty { page = page.replacing("by hand\n<!-- end of settings -->", with: "by hand") }
    let error = try #require(throws: ForgeError.self) { try SettingsPage(Sample.catalog).updated(page) }
    #expect(error.description.contains(expected), "\(error)")
  }

  // MARK: Terminal

  @Test func helpOfOneSetting() throws {
    let help = SettingsHelp(Sample.catalog)
    #expect(try help.text(of: "run.rate") == "run.rate  (number > 0; default: none)\n    Learning rate | peak.\n")
    #expect(try help.text(of: "run.data.3.path") == "run.data.N.path  (text; required)\n    Path of a file.\n")
    #expect(try help.text(of: "saving").hasPrefix("saving: How it is saved.\n\n  saving.every  (integer"))
    #expect(help.text.contains("run (required): The run.") && help.text.contains("saving.every"))
    #expect(help.text.split(separator: "\n").allSatisfy { $0.count <= 80 })
    for (key, expected) in [("run.stps", "did you mean 'run.steps'?"), ("zzzzzzzz", "the sections are: run, saving")] {
      let error = try #require(throws: ForgeError.self) { try help.text(of: key) }
      #expect(error.description == "there is no setting '\(key)'; \(expected)" && error.exitCode == 64)
    }
  }

  // MARK: JSON

  @Test func jsonReadsBack() throws {
    let text = #"{"a": [1, 2.5, "x\"\\\n\u0001é😀"], "b": {}, "c": [], "d": [{"e": null}, true], "f": 1e+38}"#
    let node = try ConfigurationNode.parse(json: Array(text.utf8), source: "t")
    #expect(try ConfigurationNode.parse(json: Array(node.json().utf8), source: "t") == node)
  }
}
