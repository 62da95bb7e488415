public import ConfigurationFiles
import Models
import Optimizers

extension RunConfiguration {
  /// The declared settings of a run: every key with its type, range, default and documentation.
  public static let catalog = SettingsCatalog { _ = try Sections($0) }

  /// The JSON Schema of the settings, for editors: `configs/run.schema.json`.
  public static var schema: SettingsSchema { SettingsSchema(catalog, title: "Configuration of a forge-dist run") }

  /// The sections of a configuration, in the order of the documentation.
  struct Sections {
    let run: Run
    let model: ModelSection
    let data: Data
    let batch: Batch
    let parallelism: Parallelism
    let memory: Memory
    let optimizer: OptimizerSection
    let schedule: LearningRateSchedule
    let validation: Validation
    let checkpoint: Checkpoint
    let spikes: Spikes
    let watchdog: Watchdog
    private let readers: (run: SettingsReader, data: SettingsReader, checkpoint: SettingsReader)

    init(_ root: SettingsReader) throws {
      let runReader = try root.section(
        "run", isRequired: true, "The run as a whole: its place, its length and the ranks' processes.")
      run = try Run(runReader)
      model = try ModelSection(
        root.section(
          "model", isRequired: true,
          "The model: from a folder, or with random weights by the keys of a Hugging Face `config.json`."))
      let dataReader = try root.section(
        "data", isRequired: true, "The training data and how sequences are cut from it.")
      data = try Data(dataReader)
      batch = try Batch(root.section("batch", isRequired: true, "The global batch of an optimizer step."))
      parallelism = try Parallelism(
        root.section("parallelism", "How ranks share the work; it has no effect on the numbers."))
      memory = try Memory(
        root.section("memory", "What a rank keeps in memory; it has no effect on the numbers."))
      optimizer = try OptimizerSection(
        root.section("optimizer", isRequired: true, "The update rule and its hyperparameters."))
      schedule = try LearningRateSchedule(
        root.section("schedule", "The learning rate schedule; without the section the rate is constant."),
        peak: optimizer.learningRate, steps: run.steps)
      validation = try Validation(
        root.section("validation", "Validation on held-out data; without the section there is none."))
      let checkpointReader = try root.section("checkpoint", "When checkpoints are written, how, and which are kept.")
      checkpoint = try Checkpoint(checkpointReader)
      spikes = try Spikes(root.section("spikes", "What follows a step whose loss or gradient norm is bad."))
      watchdog = try Watchdog(
        root.section("watchdog", "When a rank that makes no progress ends the job, with exit code 75."))
      readers = (runReader, dataReader, checkpointReader)
    }

    /// Validates rules that involve settings of several sections.
    func check(with model: ModelConfiguration) throws {
      try readers.data.require(
        data.sequenceLength <= model.maximumPositions, "sequence_length",
        "is \(data.sequenceLength), more than the model's max_position_embeddings = \(model.maximumPositions)")
      let all = Double(run.steps) * Double(batch.sequences) * Double(data.sequenceLength)
      try readers.run.requireOfNewRuns(
        all <= Self.maxTokens, "steps",
        "is \(run.steps), and with \(batch.sequences) sequences of \(data.sequenceLength) tokens each these are more than "
          + "2^60 tokens")
      let tokens = Double(batch.microBatch) * Double(data.sequenceLength)
      try readers.data.require(
        tokens * model.approximateActivationsPerToken <= Self.maxActivations, "sequence_length",
        "is \(data.sequenceLength): \(batch.microBatch) such sequences are a micro-batch that no machine has memory for",
        hint: "use a smaller one, or a smaller batch.micro_batch", code: .doesNotFit)
      let validatesEveryCheckpoint =
        validation.every > 0 && checkpoint.every > 0 && checkpoint.every % validation.every == 0
      try readers.checkpoint.require(
        checkpoint.keepBest == 0 || validatesEveryCheckpoint, "keep_best",
        "needs the validation loss of every checkpoint", hint: "make checkpoint.every a multiple of validation.every",
        after: ": ")
    }

    /// Max tokens of a run, which are counted in 64 bits.
    private static let maxTokens = 0x1p60
    /// Max activations that a micro-batch keeps for its backward pass: 1 PiB.
    private static let maxActivations = 0x1p48
  }
}
