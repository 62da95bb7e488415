import Checkpoints
import Testing

@testable import Training

@Suite struct RunSourcesTests {
  private func set(_ path: String, _ sha256: String, tokenizer: String? = nil, weight: Double = 1) -> RunSources.Dataset
  {
    RunSources.Dataset(path: path, weight: weight, sha256: sha256, tokenizer: tokenizer)
  }

  private func sources(
    _ train: [RunSources.Dataset], validation: [RunSources.Dataset] = [], model: RunSources.Model? = nil
  ) -> RunSources {
    var sources = RunSources()
    (sources.train, sources.validation, sources.model) = (train, validation, model)
    sources.tokenizer = (train + validation).compactMap(\.tokenizer).first
    return sources
  }

  @Test func survivesMetadata() throws {
    let whole = sources(
      [set("a", "1", tokenizer: "t", weight: 0.3)], validation: [set("b", "2")],
      model: RunSources.Model(path: "m", sha256: "3", checkpoint: "step-00000001", tokenizer: "t"))
    #expect(RunSources(.object([RunSources.metadataKey: try whole.metadata])) == whole)
    #expect(RunSources(["ledger": nil]) == nil)
    #expect(RunSources([RunSources.metadataKey: nil]) == nil)
  }

  @Test func placesMayChange() {
    let recorded = sources([set("a/", "1"), set("b", "2")])
    let moved = sources([set("./a", "1"), set("c", "2")])
    #expect(moved.violation(to: recorded) == nil)
    #expect(moved.moves(since: recorded).count == 1)
    // With one dataset the weight has no effect.
    #expect(sources([set("a", "1", weight: 2)]).violation(to: sources([set("a", "1")])) == nil)
  }

  @Test func contentMayNot() {
    let recorded = sources([set("a", "1"), set("b", "2")], validation: [set("v", "3")])
    for (other, part) in [
      (sources([set("a", "1")]), "2 training datasets"),
      (sources([set("a", "9"), set("b", "2")]), "'a' (data.train.0) has been replaced"),
      (sources([set("a", "1"), set("c", "9")]), "'c' (data.train.1) is not the same data"),
      (sources([set("b", "2"), set("a", "1")]), "data.train.0"),
      (sources([set("a", "1"), set("b", "2", weight: 3)]), "data.train.1.weight"),
      (sources(recorded.train, validation: [set("v", "9")]), "'v' (data.validation.0) has been replaced"),
    ] {
      #expect(other.violation(to: recorded)?.contains(part) == true, "\(other.violation(to: recorded) ?? "none")")
    }
    // A different validation set under a different name is a change of configuration.
    #expect(sources(recorded.train, validation: [set("w", "9")]).violation(to: recorded) == nil)
  }

  @Test func aModelIsComparedWithItself() {
    func from(_ path: String, _ sha256: String, _ checkpoint: String? = nil) -> RunSources {
      sources([set("a", "1")], model: RunSources.Model(path: path, sha256: sha256, checkpoint: checkpoint))
    }
    #expect(from("n", "1").violation(to: from("m", "1")) == nil)
    #expect(from("m", "2").violation(to: from("m", "1"))?.contains("replaced") == true)
    #expect(from("n", "2").violation(to: from("m", "1"))?.contains("not the same model") == true)
    // The run that is `model.from` has continued meanwhile.
    #expect(from("m", "2", "step-00000009").violation(to: from("m", "1", "step-00000003")) == nil)
    #expect(sources([set("a", "1")]).violation(to: from("m", "1")) == nil)
  }

  @Test func tokenizersDoNotMix() {
    let same = sources([set("a", "1", tokenizer: "t"), set("b", "2"), set("c", "3", tokenizer: "t")])
    #expect(same.mixedTokenizers == nil)
    let mixed = sources([set("a", "1", tokenizer: "t")], validation: [set("b", "2", tokenizer: "u")])
    #expect(mixed.mixedTokenizers?.problem.contains("'a' and 'b'") == true)
    let model = RunSources.Model(path: "m", sha256: "1", tokenizer: "u")
    #expect(
      sources([set("a", "1", tokenizer: "t")], model: model).mixedTokenizers?.problem.contains("model 'm'") == true)
    #expect(sources([set("a", "1")], model: model).mixedTokenizers == nil)
    #expect(
      sources([set("a", "1", tokenizer: "u")]).violation(to: sources([set("x", "1", tokenizer: "t")]))?
        .contains("another tokenizer") == true)
  }

  @Test func tokensAroundDocumentsDoNotMix() {
    func around(_ path: String, _ begin: Int32?, _ end: Int32?) -> RunSources.Dataset {
      var dataset = set(path, path, tokenizer: "t")
      dataset.around = RunSources.DocumentTokens(begin: begin, end: end)
      return dataset
    }
    #expect(sources([around("a", 1, 2), around("b", 1, 2), set("c", "c", tokenizer: "t")]).mixedTokenizers == nil)
    let mixed = sources([around("a", 1, 2)], validation: [around("b", nil, 2)])
    #expect(mixed.mixedTokenizers?.problem.contains("'a' and 'b'") == true)
    // A checkpoint of an older version has no record of them.
    #expect(mixed.hasOnlyData(of: sources([set("a", "a")], validation: [set("b", "b")])))
    #expect(!mixed.hasOnlyData(of: sources([set("a", "a")])))
  }
}
