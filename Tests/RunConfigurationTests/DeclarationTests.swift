import ConfigurationFiles
import Foundation
import Support
import Testing

@testable import RunConfiguration

/// Each setting is declared once, and its documentation, schema and help are generated from the declaration.
@Suite struct DeclarationTests {
  static let root = RunConfigurationTests.root
  static let catalog = RunConfiguration.catalog

  @Test func everySettingIsDeclaredOnce() throws {
    #expect(Self.catalog.repeated.isEmpty, "declared more than once: \(Self.catalog.repeated)")
    // Reading a value in another way declares it a second time.
    let otherwise = /\.(boolean|integer|number|string|integers|numbers|strings|node|mentions)\(\s*"/
    let folder = Self.root + "/Sources/4-Distributed/RunConfiguration"
    for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasSuffix(".swift") {
      let source = try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8)
      let readings = source.matches(of: otherwise).map { String(source[$0.range]) }
      #expect(readings.isEmpty, "\(file) reads without declaring: \(readings)")
    }
    print("\(Self.catalog.settings.count) settings; settings declared more than once: \(Self.catalog.repeated.count)")
  }

  @Test func documentationIsASentence() {
    let texts =
      Self.catalog.sections.map { ($0.name, $0.summary) }
      + Self.catalog.settings.map { ($0.key, $0.declaration.summary) }
    for (key, text) in texts {
      #expect(text.hasSuffix(".") && text.first?.isUppercase == true, "\(key): \(text)")
    }
  }

  @Test func thePageSaysWhatIsDeclared() throws {
    let page = try String(contentsOfFile: Self.root + "/docs/configuration.md", encoding: .utf8)
    #expect(
      try SettingsPage(Self.catalog).updated(page) == page, "docs/configuration.md is stale: run scripts/settings-pages"
    )
  }

  @Test func theSchemaSaysWhatIsDeclared() throws {
    let schema = try String(contentsOfFile: Self.root + "/configs/run.schema.json", encoding: .utf8)
    #expect(RunConfiguration.schema.text == schema, "configs/run.schema.json is stale: run scripts/settings-pages")
  }

  // MARK: The schema and the reader agree

  static let schema = RunConfiguration.schema.document

  @Test func theSchemaAllowsEveryShippedConfiguration() throws {
    let folder = Self.root + "/configs"
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".yaml") }
    #expect(files.count >= 6)
    for file in files {
      let node = try ConfigurationNode.load(path: "\(folder)/\(file)")
      #expect(SchemaValidator.violation(to: node, Self.schema) == nil, "\(file)")
    }
  }

  static let values = [
    "null", "true", "''", "text", "auto", "none", "full", "never", "muon", "wsd", "rollback", "0", "1", "-1", "2", "4",
    "5", "15", "16", "22", "23", "-100", "-101", "0.5", "1.5", "1e3", "1000.0", "10001", "65537", "16777217",
    "1125899906842625", "9223372036854775807", "1.1e9", "1.1e10", "1e39", "-1e39", ".inf", "[]", "[0.9, 0.95]", "[0.9]",
    "[0.9, 1]", "[0.9, x]", "{}", "[{path: a}, {path: b, weight: 2}]", "[{path: a, wieght: 2}]", "[{weight: 2}]",
    "[{path: 1}]", "[{path: a, weight: 0}]", "[a]",
  ]

  /// What the reader rejects and a schema cannot express.
  static let rules = [
    "not a multiple of micro_batch", "max_position_embeddings", "more than 2^60 tokens", "no machine has memory",
    "a multiple of validation.every", "is Muon's", "one dataset only", "needs checkpoint.local", "not less than",
    "must name a folder", "at least minimum_seconds", "is wsd's", "is of schedules that end low",
    "is more than run.steps",
    "is of spikes.z_score",
  ]

  @Test func theSchemaAllowsWhatTheReaderTakes() throws {
    var counts = (taken: 0, refused: 0)
    let settings = Self.catalog.settings.map { $0.key.replacing(".N.", with: ".0.") }.filter {
      !$0.hasPrefix("model.") && !$0.hasPrefix("data.validation.0")
    }
    let recipe = try ConfigurationNode.parse(QuickstartRecipe.yaml, source: "q.yaml")
    for key in settings {
      for value in Self.values {
        var node = recipe
        try node.set("\(key)=\(value)")
        let violation = SchemaValidator.violation(to: node, Self.schema)
        do {
          _ = try RunConfiguration(node)
          counts.taken += 1
          #expect(violation == nil, "the reader takes \(key)=\(value)")
        } catch let error as ForgeError {
          counts.refused += 1
          let isRule = Self.rules.contains { error.description.contains($0) }
          #expect(violation != nil || isRule, "the schema allows \(key)=\(value): \(error)")
        }
      }
    }
    #expect(counts.taken > 400 && counts.refused > 1000, "\(counts)")
  }

  @Test(arguments: [
    ("run=null", false), ("validation=null", true), ("checkpoint={}", true), ("data.train.0.x=1", false),
    ("bogus=1", false), ("model.hiden_size=1", false), ("model.hidden_size=null", false),
    ("model.use_cache=true", true),
    ("model={from: x}", true), ("model={from: x, router_z_loss_coef: 0.1}", true),
    ("model={from: x, hidden_size: 32}", false), ("model={from: null, hidden_size: 32}", false),
    ("model.eos_token_id=[1, 2]", true), ("model.model_type=gpt2", false),
  ])
  func theSchemaOnItsOwn(override: String, isAllowed: Bool) throws {
    var node = try ConfigurationNode.parse(QuickstartRecipe.yaml, source: "q.yaml")
    try node.set(override)
    let violation = SchemaValidator.violation(to: node, Self.schema)
    #expect((violation == nil) == isAllowed, "\(violation ?? "allowed")")
  }
}
