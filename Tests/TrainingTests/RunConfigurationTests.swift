import Configuration
import Diagnostics
import Foundation
import Testing

@testable import Training

struct RunConfigurationTests {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../..").standardized
    .path

  @Test func builtInRecipeIsTheQuickstartFile() throws {
    let file = try String(contentsOfFile: Self.root + "/configs/quickstart.yaml", encoding: .utf8)
    #expect(file == QuickstartRecipe.yaml)
  }

  @Test(arguments: ["quickstart", "dense-32m", "moe-37m", "mixtral-8x7b-pretrain"])
  func shippedConfigurationIsValid(name: String) throws {
    let configuration = try RunConfiguration.load(path: Self.root + "/configs/\(name).yaml", overrides: [])
    #expect(configuration.run.name == name)
  }

  @Test func overridesReplaceValues() throws {
    let configuration = try RunConfiguration.load(
      path: nil, overrides: ["optimizer.learning_rate=1e-05", "data.train.0.weight=2", "run.threads=3"])
    #expect(configuration.schedule.peak == 1e-5)
    #expect(configuration.data.train[0].weight == 2)
    #expect(configuration.run.threads == 3)
  }

  @Test(arguments: [
    ("optimizer.learning_rte=1", "did you mean 'learning_rate'?"),
    ("optimizr.learning_rate=1", "did you mean 'optimizer'?"),
    ("batch.sequences=5", "not a multiple of micro_batch"),
    ("optimizer.learning_rate=fast", "must be a number"),
    ("optimizer.learning_rate=-1", "must be positive"),
    ("optimizer.name=sgd", "use adamw"),
    ("optimizer.betas=[0.9]", "two numbers"),
    ("schedule.name=linear", "constant, cosine, wsd"),
    ("data.sequence_length=4096", "max_position_embeddings"),
    ("data.train=[]", "names no dataset"),
    ("model.num_key_value_heads=4", "does not divide"),
    ("model.num_experts_per_tok=9", "between 1 and"),
    ("model.model_type=gpt2", "is not supported"),
    ("model.hidden_act=gelu", "only silu"),
    ("run.steps=0", "must be positive"),
    ("checkpoint.level=99", "between -100 and 22"),
  ])
  func mistakeIsNamed(override: String, expected: String) throws {
    let error = try #require(throws: ForgeError.self) { try RunConfiguration.load(path: nil, overrides: [override]) }
    #expect(error.exitCode == 64)
    #expect(error.description.contains(expected), "\(error.description)")
  }

  @Test func misspeltRequiredKeyIsNamedWithItsLine() throws {
    let text = QuickstartRecipe.yaml.replacingOccurrences(of: "sequences: 8", with: "sequencs: 8")
    let node = try ConfigurationNode.parse(text, source: "x.yaml")
    let error = try #require(throws: ForgeError.self) { try RunConfiguration(node) }
    #expect(error.description == "x.yaml:32: unknown key 'batch.sequencs'; did you mean 'sequences'?")
  }

  @Test func unshuffledMixtureIsRefused() throws {
    let error = try #require(throws: ForgeError.self) {
      try RunConfiguration.load(path: nil, overrides: ["data.shuffle=false", "data.train=[{path: a}, {path: b}]"])
    }
    #expect(error.description.contains("one dataset only"))
  }

  @Test func writtenConfigurationReadsBack() throws {
    let first = try RunConfiguration.load(path: nil, overrides: ["optimizer.learning_rate=3e-4"])
    let second = try RunConfiguration(ConfigurationNode.parse(first.source.yaml(), source: "written"))
    #expect(first.source == second.source)
    #expect(first.model == second.model)
  }
}
