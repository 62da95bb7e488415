import Checkpoints
import Configuration
import Datasets
import Diagnostics
import Foundation
import Models
import Optimizers
import Placement
import Pretrained

/// Everything that decides a run, read from YAML and checked before any work starts.
public struct RunConfiguration: Sendable {
  public struct Run: Sendable {
    public var name: String
    public var directory: String
    public var seed: UInt64
    public var steps: Int
    /// Threads a rank computes with; nil shares the node's cores between its ranks.
    public var threads: Int?
    /// Pins the CPU kernel family, so that machines of different age agree.
    public var kernelFamily: String?
    /// Steps between two comparisons of the ranks' copies of the parameters; 0 never compares.
    public var compareReplicas: Int
  }

  public struct Data: Sendable {
    public var sequenceLength: Int
    public var shuffle: Bool
    public var documentMask: Bool
    public var train: [DataSource]
    /// nil validates on what `forge data prepare` held out of `train`.
    public var validation: [DataSource]?
  }

  public struct Batch: Sendable {
    /// Sequences in a global batch, and in each micro-batch of it.
    public var sequences: Int
    public var microBatch: Int
    public var microBatches: Int { sequences / microBatch }
  }

  public struct Parallelism: Sendable {
    public enum Balance: String, Sendable, CaseIterable {
      /// Slow ranks get fewer micro-batches, or lend more experts where these are shared.
      case auto
      /// All ranks are taken to be equally fast.
      case even
    }

    /// Ranks that share the experts of a layer; nil takes as many as serve.
    public var expert: Int?
    public var sharding: StateSharding
    public var balance: Balance
    /// Whether busy ranks lend experts to those that share a layer's experts with them.
    public var shadowExperts = ExpertShadowing.auto
  }

  public struct Validation: Sendable {
    /// Steps between validations; 0 never validates.
    public var every: Int
    /// At most so many sequences each time.
    public var sequences: Int
  }

  public struct Checkpoint: Sendable {
    /// Steps between checkpoints; 0 saves only at the end and when asked to stop.
    public var every: Int
    public var keepLast: Int
    public var keepEvery: Int?
    /// So many of the lowest validation loss stay too.
    public var keepBest: Int
    /// Training goes on while a copy of the state is written.
    public var isAsynchronous: Bool
    /// zstd's, for the bytes that compress; negative levels are its fast ones.
    public var level: Int
    /// Where every node keeps copies of its own between checkpoints.
    public var local: Local?
  }

  public struct Local: Sendable {
    /// A folder on a disk of the node; `%h` in it stands for the host's name.
    public var folder: String
    /// Steps between copies.
    public var every: Int
  }

  /// Whether a rank keeps room for a copy of its state, which is written while training goes on.
  public var keepsSnapshot: Bool { checkpoint.isAsynchronous && (checkpoint.every > 0 || checkpoint.local != nil) }

  public var run: Run
  public var model: ModelConfiguration
  /// A Hugging Face folder or a checkpoint to start from; nil starts from random weights.
  public var pretrained: String?
  public var data: Data
  public var batch: Batch
  public var parallelism: Parallelism
  public var optimizer: OptimizerSettings
  public var clipNorm: Double?
  public var schedule: LearningRateSchedule
  public var validation: Validation
  public var checkpoint: Checkpoint
  public var spikes: Spikes
  public var watchdog: Watchdog
  /// What the user should know at the start, such as how the model was read: a sentence each.
  public private(set) var warnings: [String]
  /// The configuration as the user wrote it, overrides applied.
  public let source: ConfigurationNode

  /// - Parameters:
  ///   - path: a YAML file; nil is the built-in quickstart recipe.
  ///   - overrides: `key.path=value`, applied in order.
  /// - Throws: `ForgeError.badInput` that names the file and line.
  public static func load(path: String?, overrides: [String]) throws -> RunConfiguration {
    var node =
      if let path { try ConfigurationNode.load(path: path) } else {
        try ConfigurationNode.parse(QuickstartRecipe.yaml, source: "the built-in quickstart recipe")
      }
    for override in overrides { try node.set(override) }
    return try RunConfiguration(node, recorded: recorded(of: node))
  }

  /// What the run was started with, if it continues.
  private static func recorded(of node: ConfigurationNode) throws -> RecordedConfiguration? {
    guard let section = try ConfigurationSection(node).section("run"), let directory = try? directory(section),
      let names = try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/checkpoints"),
      names.contains(where: { $0.hasPrefix("step-") })
    else { return nil }
    return (try? ConfigurationNode.load(path: "\(directory)/config.yaml")).map(RecordedConfiguration.init)
  }

  /// - Parameter recorded: what a run that continues was started with.
  public init(_ node: ConfigurationNode, recorded: RecordedConfiguration? = nil) throws {
    source = node
    let root = try ConfigurationSection(node, recorded: recorded)
    try Self.checkKeys(root)
    func section(_ name: String) throws -> ConfigurationSection {
      guard let section = try root.section(name) else { throw root.error(name, "is missing") }
      return section
    }
    let runSection = try section("run")
    run = try Self.run(runSection)
    let remarks: [String]
    (model, pretrained, remarks) = try Self.model(section("model"), run: run.directory)
    let dataSection = try section("data")
    data = try Self.data(dataSection)
    batch = try Self.batch(section("batch"))
    parallelism = try Self.parallelism(root.section("parallelism"))
    let optimizerSection = try section("optimizer")
    (optimizer, clipNorm) = try Self.optimizer(optimizerSection)
    schedule = try Self.schedule(
      root.section("schedule"), peak: optimizerSection.positive("learning_rate", most: 1e4), steps: run.steps)
    validation = try Self.validation(root.section("validation"))
    checkpoint = try Self.checkpoint(root.section("checkpoint"))
    spikes = try Self.spikes(root.section("spikes"))
    watchdog = try Self.watchdog(root.section("watchdog"))
    warnings = []
    try validate(dataSection, runSection)
    if let section = try root.section("checkpoint") { try validate(checkpoints: section) }
    warnings = remarks + (recorded?.warnings ?? [])
  }

  /// Every key that a section may have. They are checked before any value is read, so that a misspelt key is told as
  /// such and not as the absence of the right one. The model's own keys are `ModelConfiguration`'s affair.
  private static let keys: [String: Set<String>] = [
    "run": ["name", "directory", "seed", "steps", "threads", "kernel_family", "compare_replicas"],
    "data": ["sequence_length", "shuffle", "document_mask", "train", "validation"],
    "batch": ["sequences", "micro_batch"],
    "parallelism": ["expert", "sharding", "balance", "shadow_experts"],
    "optimizer": [
      "name", "learning_rate", "betas", "epsilon", "weight_decay", "clip_norm", "momentum", "newton_schulz_steps",
    ],
    "schedule": ["name", "warmup_steps", "decay_steps", "minimum_ratio"],
    "validation": ["every", "sequences"],
    "checkpoint": ["every", "keep_last", "keep_every", "keep_best", "asynchronous", "level", "local", "local_every"],
    "spikes": ["policy", "z_score", "window", "maximum_gradient_norm"],
    "watchdog": ["factor", "minimum_seconds", "pause_seconds"],
  ]

  private static func checkKeys(_ root: ConfigurationSection) throws {
    try root.finish(alsoAllowed: Set(keys.keys).union(["model"]))
    for (name, keys) in keys.sorted(by: { $0.key < $1.key }) {
      try root.section(name)?.finish(alsoAllowed: keys)
    }
  }

  /// The one place for checks that involve more than one setting.
  private func validate(_ dataSection: ConfigurationSection, _ runSection: ConfigurationSection) throws {
    guard data.sequenceLength <= model.maximumPositions else {
      throw dataSection.error(
        "sequence_length",
        "is \(data.sequenceLength), more than the model's max_position_embeddings = \(model.maximumPositions)")
    }
    let all = Double(run.steps) * Double(batch.sequences) * Double(data.sequenceLength)
    if all > Self.mostTokens {
      try runSection.refuse(
        "steps",
        "is \(run.steps), and with \(batch.sequences) sequences of \(data.sequenceLength) tokens each these are more than "
          + "2^60 tokens")
    }
    let tokens = Double(batch.microBatch) * Double(data.sequenceLength)
    guard tokens * model.approximateActivationsPerToken <= Self.mostActivations else {
      throw dataSection.error(
        "sequence_length",
        "is \(data.sequenceLength): \(batch.microBatch) such sequences are a micro-batch that no machine has memory for; "
          + "use a smaller one, or a smaller batch.micro_batch")
    }
  }

  private func validate(checkpoints section: ConfigurationSection) throws {
    guard checkpoint.keepBest > 0 else { return }
    guard validation.every > 0, checkpoint.every > 0, checkpoint.every % validation.every == 0 else {
      throw section.error(
        "keep_best",
        "needs the validation loss of every checkpoint: make checkpoint.every a multiple of validation.every")
    }
  }

  // MARK: Sections

  private static func run(_ section: ConfigurationSection) throws -> Run {
    let seed = try section.integer("seed") ?? 1
    guard seed >= 0 else { throw section.error("seed", "must not be negative") }
    let run = Run(
      name: try name(section), directory: try directory(section), seed: UInt64(seed),
      steps: try section.positive("steps"),
      threads: section.contains("threads") ? try section.positive("threads", most: mostThreads) : nil,
      kernelFamily: try section.string("kernel_family"),
      compareReplicas: try section.notNegative("compare_replicas", default: 1))
    return run
  }

  private static func name(_ section: ConfigurationSection) throws -> String { try section.string("name") ?? "run" }

  private static func directory(_ section: ConfigurationSection) throws -> String {
    try section.string("directory") ?? "runs/\(name(section))"
  }

  /// `from: FOLDER` takes the folder's `config.json`; other keys beside it are the run's own wishes. A run that continues
  /// has its model in its checkpoint, and does not need the folder.
  private static func model(
    _ section: ConfigurationSection, run directory: String
  ) throws -> (ModelConfiguration, pretrained: String?, warnings: [String]) {
    guard let folder = try section.string("from") else {
      return (try ModelConfiguration(huggingFace: section), nil, [])
    }
    var warnings: [String] = []
    let model: ModelConfiguration
    do {
      model = try PretrainedModel.configuration(folder: folder, overrides: section) { warnings.append($0) }
    } catch let error as ForgeError {
      let checkpoints = directory + "/checkpoints"
      guard FileManager.default.fileExists(atPath: checkpoints),
        let own = try? PretrainedModel.configuration(folder: checkpoints, overrides: section)
      else { throw error }
      model = own
      warnings = ["warning: \(error); the run goes on with the model of its checkpoint"]
    }
    _ = try section.boolean("output_router_logits")
    _ = try section.number("router_aux_loss_coef")
    _ = try section.number("router_z_loss_coef")
    _ = try section.string("router_aux_loss_scope")
    _ = try section.number("router_bias_update_rate")
    try section.finish()
    return (model, folder, warnings)
  }

  private static func data(_ section: ConfigurationSection) throws -> Data {
    func sources(_ key: String) throws -> [DataSource]? {
      guard let entries = try section.sections(key) else { return nil }
      guard !entries.isEmpty else { throw section.error(key, "names no dataset") }
      return try entries.map { entry in
        guard let path = try entry.string("path") else { throw entry.error("path", "is missing") }
        let weight = try entry.real("weight") ?? 1
        guard weight > 0, weight.isFinite else { throw entry.error("weight", "must be positive") }
        try entry.finish()
        return DataSource(path: path, weight: weight)
      }
    }
    guard let train = try sources("train") else { throw section.error("train", "is missing") }
    let data = Data(
      sequenceLength: try section.positive("sequence_length", most: mostOfOneStep),
      shuffle: try section.boolean("shuffle") ?? true,
      documentMask: try section.boolean("document_mask") ?? true, train: train, validation: try sources("validation"))
    if !data.shuffle, train.count > 1 {
      throw section.error("shuffle", "can be false with one dataset only, not with \(train.count)")
    }
    return data
  }

  /// Threads of a rank, which no machine has.
  private static let mostThreads = 1 << 16
  /// Tokens of a whole run, of which there are counts in 64 bits.
  private static let mostTokens = 0x1p60
  /// Sequences in a batch, and tokens in a sequence.
  private static let mostOfOneStep = 1 << 24
  /// Numbers that a micro-batch leaves for its backward pass: 1 PiB of them.
  private static let mostActivations = 0x1p48

  private static func batch(_ section: ConfigurationSection) throws -> Batch {
    let batch = Batch(
      sequences: try section.positive("sequences", most: mostOfOneStep), microBatch: try section.positive("micro_batch")
    )
    guard batch.sequences % batch.microBatch == 0 else {
      throw section.error(
        "sequences", "is \(batch.sequences), not a multiple of micro_batch = \(batch.microBatch)")
    }
    return batch
  }

  private static func parallelism(_ section: ConfigurationSection?) throws -> Parallelism {
    var parallelism = Parallelism(expert: nil, sharding: .optimizer, balance: .auto)
    guard let section else { return parallelism }
    if section.contains("expert"), (try? section.string("expert")) != "auto" {
      guard let degree = try? section.integer("expert"), degree > 0 else {
        throw section.error("expert", "must be 'auto' or the number of ranks that share the experts of a layer")
      }
      parallelism.expert = degree
    }
    if let sharding: StateSharding = try section.choice("sharding") { parallelism.sharding = sharding }
    if let balance: Parallelism.Balance = try section.choice("balance") { parallelism.balance = balance }
    if let shadows: ExpertShadowing = try section.choice("shadow_experts") { parallelism.shadowExperts = shadows }
    return parallelism
  }

  /// The ranks that share the experts of a layer, of `ranks` in all; 1 for a dense model.
  ///
  /// - Throws: `ForgeError.badInput` when the degree that was asked for cannot be.
  public func expertDegree(ranks: Int) throws -> Int {
    let experts = model.experts?.count ?? 0
    guard let degree = parallelism.expert else {
      return ExpertPlacement.automaticDegree(experts: experts, ranks: ranks)
    }
    guard let section = try ConfigurationSection(source).section("parallelism") else { return degree }
    guard ranks % degree == 0 else {
      throw section.error(
        "expert", "is \(degree), which does not divide the \(ranks) ranks; use a divisor, or 'auto'")
    }
    guard degree <= max(1, experts) else {
      throw section.error(
        "expert", "is \(degree), more than the model's \(experts) experts; use at most that, or 'auto'")
    }
    return degree
  }

  private static func optimizer(_ section: ConfigurationSection) throws -> (OptimizerSettings, clipNorm: Double?) {
    let name = try section.string("name") ?? "adamw"
    guard name == "adamw" || name == "muon" else {
      throw section.error("name", "'\(name)' is not supported; use adamw or muon")
    }
    let betas = try section.numbers("betas") ?? [0.9, 0.95]
    guard betas.count == 2, betas.allSatisfy({ (0..<1).contains($0) }) else {
      throw section.error("betas", "must be two numbers in [0, 1)")
    }
    let settings = AdamW.Settings(
      beta1: betas[0], beta2: betas[1], epsilon: try section.real("epsilon") ?? 1e-8,
      weightDecay: try section.real("weight_decay") ?? 0.1)
    guard settings.epsilon > 0 else { throw section.error("epsilon", "must be positive") }
    guard settings.weightDecay >= 0 else { throw section.error("weight_decay", "must not be negative") }
    let clipNorm = try section.real("clip_norm")
    if let clipNorm, clipNorm <= 0 { throw section.error("clip_norm", "must be positive; leave it out to never clip") }
    return (
      OptimizerSettings(adamW: settings, muon: try muon(section, isUsed: name == "muon", decay: settings.weightDecay)),
      clipNorm
    )
  }

  private static func muon(_ section: ConfigurationSection, isUsed: Bool, decay: Double) throws -> Muon.Settings? {
    guard isUsed else {
      for key in ["momentum", "newton_schulz_steps"] where section.contains(key) {
        throw section.error(key, "is Muon's; set optimizer.name to muon, or leave it out")
      }
      return nil
    }
    var muon = Muon.Settings(weightDecay: decay)
    muon.momentum = try section.number("momentum") ?? muon.momentum
    guard (0..<1).contains(muon.momentum) else { throw section.error("momentum", "must be a number in [0, 1)") }
    muon.newtonSchulzSteps = try section.positive("newton_schulz_steps", default: muon.newtonSchulzSteps, most: 1000)
    return muon
  }

  private static func schedule(
    _ section: ConfigurationSection?, peak: Double, steps: Int
  ) throws -> LearningRateSchedule {
    guard let section else {
      return LearningRateSchedule(shape: .constant, peak: peak, warmupSteps: 0, totalSteps: steps)
    }
    let name = try section.string("name") ?? "constant"
    guard let shape = LearningRateSchedule.Shape(rawValue: name) else {
      let shapes = LearningRateSchedule.Shape.allCases.map(\.rawValue).joined(separator: ", ")
      throw section.error("name", "'\(name)' is not a schedule; use one of \(shapes)")
    }
    let ratio = try section.number("minimum_ratio") ?? (shape == .cosine ? 0.1 : 0)
    guard (0...1).contains(ratio) else { throw section.error("minimum_ratio", "must be between 0 and 1") }
    let schedule = LearningRateSchedule(
      shape: shape, peak: peak, minimumRatio: ratio, warmupSteps: try section.notNegative("warmup_steps", default: 0),
      decaySteps: try section.notNegative("decay_steps", default: steps / 5), totalSteps: steps)
    return schedule
  }

  private static func validation(_ section: ConfigurationSection?) throws -> Validation {
    guard let section else { return Validation(every: 0, sequences: 0) }
    let validation = Validation(
      every: try section.notNegative("every", default: 100), sequences: try section.positive("sequences", default: 64))
    return validation
  }

  private static func checkpoint(_ section: ConfigurationSection?) throws -> Checkpoint {
    guard let section else {
      return Checkpoint(
        every: 0, keepLast: 2, keepEvery: nil, keepBest: 0, isAsynchronous: true, level: ChunkWriter.defaultLevel)
    }
    var checkpoint = Checkpoint(
      every: try section.notNegative("every", default: 0), keepLast: try section.positive("keep_last", default: 2),
      keepEvery: section.contains("keep_every") ? try section.positive("keep_every") : nil,
      keepBest: try section.notNegative("keep_best", default: 0),
      isAsynchronous: try section.boolean("asynchronous") ?? true,
      level: try section.integer("level") ?? ChunkWriter.defaultLevel)
    guard (-100...22).contains(checkpoint.level) else { throw section.error("level", "must be between -100 and 22") }
    checkpoint.local = try local(section, every: checkpoint.every)
    return checkpoint
  }

  private static func local(_ section: ConfigurationSection, every: Int) throws -> Local? {
    guard let folder = try section.string("local") else {
      guard !section.contains("local_every") else {
        throw section.error("local_every", "needs checkpoint.local, the folder of the nodes' own copies")
      }
      return nil
    }
    guard !folder.isEmpty else { throw section.error("local", "must name a folder on a disk of the node") }
    guard every > 0 || section.contains("local_every") else {
      throw section.error("local", "needs checkpoint.local_every where checkpoint.every is 0")
    }
    let interval: Int = try section.positive("local_every", default: max(1, every / 5))
    guard every == 0 || interval < every || !section.contains("local_every") else {
      throw section.error("local_every", "is \(interval), not less than checkpoint.every = \(every)")
    }
    return Local(folder: folder, every: interval)
  }
}

extension ConfigurationSection {
  /// One of an enumeration's names.
  func choice<Choice: RawRepresentable & CaseIterable>(_ key: String) throws -> Choice?
  where Choice.RawValue == String {
    guard let name = try string(key) else { return nil }
    guard let choice = Choice(rawValue: name) else {
      let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw error(key, "'\(name)' is not known; use one of \(names)")
    }
    return choice
  }

  /// More than any count of a run: steps of a microsecond for thirty years.
  static var largestCount: Int { 1 << 50 }

  func positive(_ key: String, default standard: Int? = nil, most: Int = largestCount) throws -> Int {
    guard let value = try integer(key) ?? standard else { throw error(key, "is missing") }
    guard value > 0 else { throw error(key, "must be positive, not \(value)") }
    if value > most { try refuse(key, "must be at most \(most), but is \(value)") }
    return value
  }

  func notNegative(_ key: String, default standard: Int) throws -> Int {
    let value = try integer(key) ?? standard
    guard value >= 0 else { throw error(key, "must not be negative, but is \(value)") }
    if value > Self.largestCount { try refuse(key, "must be at most \(Self.largestCount), but is \(value)") }
    return value
  }

  /// A number that can be computed with in 32 bits.
  func real(_ key: String, most: Double = 1e38) throws -> Double? {
    guard let value = try number(key) else { return nil }
    if !(abs(value) <= most) { try refuse(key, "must be a number of at most \(most), not \(value)") }
    return value
  }

  func positive(_ key: String, most: Double = 1e38) throws -> Double {
    guard let value = try real(key, most: most) else { throw error(key, "is missing") }
    guard value > 0 else { throw error(key, "must be positive, not \(value)") }
    return value
  }
}
