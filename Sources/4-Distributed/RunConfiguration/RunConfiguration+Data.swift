import ConfigurationFiles
public import Datasets

extension RunConfiguration {
  public struct Data: Sendable {
    public var sequenceLength: Int
    public var shuffle: Bool
    public var documentMask: Bool
    public var train: [DataSource]
    /// Validation sources; nil for the data that `forge data prepare` held out of `train`.
    public var validation: [DataSource]?

    init(_ settings: SettingsReader) throws {
      let sources: SettingType<[DataSource]> = .list(refusal: "names no dataset") { try DataSource($0) }
      sequenceLength = try settings.required(
        "sequence_length", .integer(.positive(limit: maxOfOneStep)), "Sequence length in tokens.")
      train = try settings.required("train", sources, "Training datasets, mixed by their weights.")
      validation = try settings.optional(
        "validation", sources, without: "what `forge data prepare` held out of the training data",
        "Validation datasets, each of a whole sequence or more; they need the section `validation`.")
      shuffle = try settings.value(
        "shuffle", .boolean, default: true,
        "Whether sequences are drawn in random order; if not, sequence i is tokens [i·T, i·T + T] of the one dataset.")
      documentMask = try settings.value(
        "document_mask", .boolean, default: true, "Whether attention and positions restart at every document.")
      try settings.require(
        shuffle || train.count == 1, "shuffle", "can be false with one dataset only, not with \(train.count)")
    }
  }

  public struct Batch: Sendable {
    /// Sequences of a global batch, and of each of its micro-batches.
    public var sequences: Int
    public var microBatch: Int
    public var microBatches: Int { sequences / microBatch }

    init(_ settings: SettingsReader) throws {
      sequences = try settings.required(
        "sequences", .integer(.positive(limit: maxOfOneStep)), "Global batch size in sequences.")
      microBatch = try settings.required(
        "micro_batch", .integer(.positive),
        "Micro-batch size in sequences, a divisor of the batch; it is the unit of arithmetic.")
      try settings.require(
        sequences % microBatch == 0, "sequences", "is \(sequences), not a multiple of micro_batch = \(microBatch)")
    }
  }
}

extension DataSource {
  init(_ settings: SettingsReader) throws {
    self.init(
      path: try settings.required(
        "path", .path, "Dataset: a folder of `forge data prepare`, or the prefix of a Megatron-LM `.bin/.idx` pair."),
      weight: try settings.value(
        "weight", .number(.positive(isFinite: true)), default: 1,
        "Weight in the mixture: sequences are drawn in proportion to it."))
  }
}

/// Max sequences of a batch, and max tokens of a sequence.
private let maxOfOneStep = 1 << 24
