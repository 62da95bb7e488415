import Configuration
import Datasets
import Diagnostics
import Engine
import MPI
import Models
import Objectives
import Placement
import Settings

/// The loss on documents that training never sees; the same bits at any rank count, as for training.
struct Validation {
  private let data: ValidationData
  private let loader: BatchLoader
  /// Sequences looked at each time.
  let sequences: Int

  /// nil when the configuration wants none, or when there is nothing to validate on (see ``objection(_:_:)``).
  ///
  /// - Parameter checkedVocabularies: of datasets whose ids are known to be below this.
  init?(
    _ configuration: RunConfiguration, loader: BatchLoader, checkedVocabularies: [String: Int]
  ) throws {
    guard configuration.validation.every > 0 else { return nil }
    let settings = configuration.data
    data = try ValidationData(
      sources: configuration.validationSources, sequenceLength: settings.sequenceLength,
      documentMask: settings.documentMask, vocabularySize: configuration.model.vocabularySize,
      checkedVocabularies: checkedVocabularies)
    guard data.count > 0 else { return nil }
    sequences = min(data.count, configuration.validation.sequences)
    self.loader = loader
  }

  /// Why a validation that was asked for cannot be, or leaves out a set that was named; nil when nothing is wrong.
  ///
  /// - Parameter validation: what came of the configuration.
  /// - Throws: `ForgeError.badInput` when the configuration is not a mapping.
  static func objection(_ configuration: RunConfiguration, _ validation: Validation?) throws -> ForgeError? {
    let root = try ConfigurationSection(configuration.source)
    let section = try root.section("validation")
    guard let data = try root.section("data"), let sets = configuration.data.validation else {
      guard configuration.validation.every > 0, validation == nil else { return nil }
      return section?.error(
        "every",
        "is \(configuration.validation.every), but nothing long enough for a sequence was held out of data.train: name "
          + "data.validation, prepare data with --held-out, or set it to 0")
    }
    guard section != nil else {
      return data.error(
        "validation",
        "is named, but nothing is validated without a section validation: add one, such as "
          + "'validation: { every: 100 }', or leave the datasets out")
    }
    guard configuration.validation.every > 0, let counts = validation?.data.counts ?? sets.map({ _ in 0 }) as [Int]?,
      let empty = counts.firstIndex(of: 0), let entry = try data.sections("validation")?[empty]
    else { return nil }
    return entry.error(
      "path",
      "'\(sets[empty].path)' has no whole sequence of \(configuration.data.sequenceLength + 1) tokens, so nothing of it can "
        + "be validated on; name a longer dataset, or leave it out")
  }

  /// Mean over the target tokens, nats. Collective.
  func loss(_ engine: Engine) throws -> Double {
    let dealing = MicroBatchDealing(microBatches: loader.microBatches(of: sequences), ranks: engine.mesh.batch.size)
    let batches = loader.load(
      first: 0, count: sequences, microBatches: dealing.microBatches(of: engine.mesh.batch.rank),
      rounds: dealing.rounds,
      read: { data.read($0, into: $1, sequence: $2) })
    let objective = try NormalizedObjective(
      LanguageModeling(), of: batches, microBatches: loader.microBatches(of: sequences), over: engine.mesh.batch)
    var sums = StepSums(engine.options.model, objective, mesh: engine.mesh)
    try engine.evaluate(batches, objective: objective) { sums.add($0) }
    try sums.reduce(over: engine.mesh)
    return sums.refusals > 0 ? .nan : objective.loss(ofSums: sums.losses)
  }
}
