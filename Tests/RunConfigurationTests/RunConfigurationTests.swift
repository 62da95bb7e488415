import ConfigurationFiles
import Foundation
import Models
import Support
import Testing

@testable import RunConfiguration

struct RunConfigurationTests {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "../..").standardized
    .path

  @Test func builtInRecipeIsTheQuickstartFile() throws {
    let file = try String(contentsOfFile: Self.root + "/configs/quickstart.yaml", encoding: .utf8)
    #expect(file == QuickstartRecipe.yaml)
  }

  @Test(arguments: ["quickstart", "dense-32m", "moe-37m", "tiny-64", "mixtral-8x7b-pretrain", "moe-128e-119b"])
  func shippedConfigurationIsValid(name: String) throws {
    let configuration = try RunConfiguration.load(path: Self.root + "/configs/\(name).yaml", overrides: [])
    #expect(configuration.run.name == name)
  }

  @Test func nodesCopyFiveTimesAsOftenUnlessToldOtherwise() throws {
    func load(_ overrides: String...) throws -> RunConfiguration {
      try RunConfiguration.load(path: nil, overrides: overrides)
    }
    let standard = try load("checkpoint.every=50", "checkpoint.local=/scratch/%h")
    #expect(standard.checkpoint.local?.folder == "/scratch/%h" && standard.checkpoint.local?.every == 10)
    #expect(try load("checkpoint.every=1", "checkpoint.local=/x").checkpoint.local?.every == 1)
    let only = try load("checkpoint.every=0", "checkpoint.local=/x", "checkpoint.local_every=7")
    #expect(only.checkpoint.local?.every == 7 && only.usesStagingBuffer)
    #expect(throws: ForgeError.self) { try load("checkpoint.every=0", "checkpoint.local=/x") }
    #expect(throws: ForgeError.self) {
      try load("checkpoint.every=5", "checkpoint.local=/x", "checkpoint.local_every=5")
    }
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
    ("optimizer.name=sgd", "use adamw or muon"),
    ("optimizer.momentum=0.9", "is Muon's"),
    ("parallelism.expert=0", "must be 'auto' or the number of ranks"),
    ("parallelism.sharding=zero", "use one of none, optimizer, full"),
    ("parallelism.balance=no", "use auto or even"),
    ("parallelism.experts=2", "did you mean 'expert'?"),
    ("optimizer.betas=[0.9]", "two numbers"),
    ("schedule.name=linear", "constant, cosine, wsd"),
    ("data.sequence_length=4096", "max_position_embeddings"),
    ("data.train=[]", "names no dataset"),
    ("model.num_key_value_heads=4", "does not divide"),
    ("model.num_experts_per_tok=9", "between 1 and"),
    ("model.model_type=gpt2", "is not supported"),
    ("model.hidden_act=gelu", "only silu"),
    ("model.from=folder", "model.model_type cannot stand beside model.from; only output_router_logits,"),
    ("run.steps=0", "must be positive"),
    ("checkpoint.level=99", "between -100 and 22"),
    ("checkpoint.local=''", "must name a folder"),
    ("checkpoint.local_every=5", "needs checkpoint.local"),
    ("batch.sequences=9223372036854775807", "batch.sequences must be at most 16777216"),
    ("watchdog={minimum_seconds: 60, pause_seconds: 30}", "pause_seconds must be at least minimum_seconds = 60"),
  ])
  func mistakeIsNamed(override: String, expected: String) throws {
    let error = try #require(throws: ForgeError.self) { try RunConfiguration.load(path: nil, overrides: [override]) }
    #expect(error.exitCode == 64)
    #expect(error.description.contains(expected), "\(error.description)")
  }

  @Test func theExpertDegreeMustDivideTheRanks() throws {
    let automatic = try RunConfiguration.load(path: nil, overrides: [])
    #expect(try automatic.expertDegree(ranks: 6) == 3 && automatic.expertDegree(ranks: 11) == 1)
    let fixed = try RunConfiguration.load(path: nil, overrides: ["parallelism.expert=4"])
    #expect(try fixed.expertDegree(ranks: 8) == 4)
    let error = try #require(throws: ForgeError.self) { try fixed.expertDegree(ranks: 6) }
    #expect(error.description.contains("parallelism.expert is 4, which does not divide the 6 ranks"))
    let large = try RunConfiguration.load(path: nil, overrides: ["parallelism.expert=16"])
    let second = try #require(throws: ForgeError.self) { try large.expertDegree(ranks: 16) }
    #expect(second.description.contains("more than the model's 8 experts"))
  }

  @Test func muonIsForMatricesBetweenHiddenLayers() throws {
    let configuration = try RunConfiguration.load(
      path: nil, overrides: ["optimizer={name: muon, learning_rate: 0.01, momentum: 0.9}"])
    #expect(configuration.optimizer.muon?.momentum == 0.9 && configuration.optimizer.needsWholeMatrices)
    let layout = ParameterLayout(configuration.model)
    let byMuon = layout.tensors.filter { if case .muon = configuration.optimizer.rule($0) { true } else { false } }
    #expect(byMuon.allSatisfy { $0.name.contains("_proj") || $0.name.contains(".experts.") })
    #expect(byMuon.count == 4 * (4 + 8 * 3))
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
