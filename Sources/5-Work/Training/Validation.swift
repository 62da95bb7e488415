import ConfigurationFiles
import Datasets
import Engine
import MPI
import Models
import Objectives
import RunConfiguration
import RunStore
import Sharding
import Support

/// Validation loss on held-out documents; the same bits at any rank count, as for training.
struct Validation {
  /// The result of a validation, mean nats per token.
  struct Loss {
    /// The weighted mean of the sets' losses.
    var overall: Double
    /// The loss of each set, over all targets of its used sequences.
    var sets: [(name: String, loss: Double)]
  }

  private let data: ValidationData
  private let loader: BatchLoader
  /// The micro-batches, each of one set.
  private let microBatches: [(set: Int, sequences: Range<Int>)]

  /// Nil without validation, or without validation data (see ``violation(_:_:)``).
  ///
  /// - Parameter checkedVocabularies: exclusive upper bounds of token ids, of datasets that need not be checked.
  init?(
    _ configuration: RunConfiguration, loader: BatchLoader, checkedVocabularies: [String: Int]
  ) throws {
    guard configuration.validation.every > 0 else { return nil }
    let settings = configuration.data
    data = try ValidationData(
      sources: configuration.validationSources, sequenceLength: settings.sequenceLength,
      documentMask: settings.documentMask, vocabularySize: configuration.model.vocabularySize,
      sequences: configuration.validation.sequences, checkedVocabularies: checkedVocabularies)
    guard data.count > 0 else { return nil }
    self.loader = loader
    let data = data
    microBatches = data.sets.indices.flatMap { set in
      loader.microBatches(of: data.sequences(of: set)).map { (set, $0) }
    }
  }

  /// Why the configured validation is impossible, or a configured set is empty; nil when it is valid.
  ///
  /// - Parameter validation: made from the configuration.
  /// - Throws: `ForgeError.badInput` when the configuration is not a mapping.
  static func violation(_ configuration: RunConfiguration, _ validation: Validation?) throws -> ForgeError? {
    let root = try ConfigurationSection(configuration.source)
    let section = try root.section("validation")
    guard let data = try root.section("data"), let sets = configuration.data.validation else {
      guard configuration.validation.every > 0, validation == nil else { return nil }
      return section?.error(
        "every",
        "is \(configuration.validation.every), but nothing long enough for a sequence was held out of data.train",
        hint: "name data.validation, prepare data with --held-out, or set it to 0", after: ": ", code: .emptyInput)
    }
    guard section != nil else {
      return data.error(
        "validation",
        "is named, but nothing is validated without a section validation",
        hint: "add one, such as 'validation: { every: 100 }', or leave the datasets out", after: ": ",
        code: .conflictingSettings)
    }
    guard configuration.validation.every > 0,
      let counts = validation?.data.sets.map(\.available) ?? sets.map({ _ in 0 }) as [Int]?,
      let empty = counts.firstIndex(of: 0), let entry = try data.sections("validation")?[empty]
    else { return nil }
    return entry.error(
      "path",
      "'\(sets[empty].path)' has no whole sequence of \(configuration.data.sequenceLength + 1) tokens, so nothing of it can "
        + "be validated on", hint: "name a longer dataset, or leave it out", code: .emptyInput)
  }

  /// The identity of the validated sequences: the same for two validations whose losses are comparable.
  ///
  /// - Parameter sources: the identified sets.
  func identity(_ sources: [RunSources.Dataset], _ configuration: RunConfiguration) -> String {
    let sets = zip(data.sets, sources).map { "\($1.sha256) \($0.weight) \($0.used)/\($0.available)\n" }
    let cut = "evenly \(data.sequenceLength) \(configuration.data.documentMask)\n"
    return StepLedger.hash((cut + sets.joined()).utf8)
  }

  /// The current loss of the model; NaN where a loss is not finite. Collective.
  ///
  /// - Throws: `MPIError`.
  func loss(_ engine: Engine) throws -> Loss {
    let (rank, ranks) = (engine.mesh.batch.rank, engine.mesh.batch.size)
    let assignment = MicroBatchAssignment(microBatches: microBatches.count, ranks: ranks)
    let own = assignment.microBatches(of: rank).map { microBatches[$0] }
    let batches = loader.load(
      own.map(\.sequences), microSteps: assignment.microSteps, read: { data.read($0, into: $1, sequence: $2) })
    let objective = try NormalizedObjective(
      LanguageModeling(), of: batches, microBatches: microBatches.count, over: engine.mesh.batch)
    var sums = [SetSums](repeating: SetSums(), count: data.sets.count)
    for (place, batch) in zip(own, batches) {
      sums[place.set].targets += LanguageModeling().denominators(of: batch, microBatches: microBatches.count)[0].count
    }
    var round = 0
    try engine.evaluate(batches, objective: objective) { result in
      defer { round += 1 }
      guard round < own.count else { return }
      if let losses = result.losses {
        sums[own[round].set].loss += losses[0]
      } else {
        sums[own[round].set].overflowCount += 1
      }
    }
    var words = sums.flatMap { [$0.loss, $0.targets, $0.overflowCount] }
    try words.withUnsafeMutableBufferPointer { try engine.mesh.batch.allReduce(arena: $0, .sum) }
    let losses = sums.indices.map { set in
      SetSums(loss: words[3 * set], targets: words[3 * set + 1], overflowCount: words[3 * set + 2]).mean
    }
    let used = data.sets.indices.filter { data.sets[$0].used > 0 }
    let weight = used.reduce(0) { $0 + data.sets[$1].weight }
    return Loss(
      // For a single set the share is 1, and the mean is its loss, to the bit.
      overall: used.reduce(0) { $0 + data.sets[$1].weight / weight * losses[$1] },
      sets: used.map { (data.sets[$0].name, losses[$0]) })
  }
}

/// The sums over a set's micro-batches; integers, so that their order does not matter.
private struct SetSums {
  /// Fixed point at 2⁻³² nats.
  var loss: Int64 = 0
  var targets: Int64 = 0
  /// Micro-batches whose loss is not finite, or outside the range of exact sums.
  var overflowCount: Int64 = 0

  var mean: Double { overflowCount > 0 ? .nan : LossDenominator(count: Int(targets)).mean(ofSum: loss) }
}
