import Checkpoints
import ConfigurationFiles
import ModelFiles
import Models
import RunConfiguration
import RunStore
import Support

/// Branching from another run's checkpoint: what is inherited, and what must match.
extension RunRecord {
  /// The record of a run that branches from another run's checkpoint: it inherits the update count, and its data stream
  /// starts anew.
  ///
  /// - Parameters:
  ///   - path: the checkpoint as configured.
  ///   - present: the sources of the run.
  /// - Throws: `ForgeError.badInput` when model, optimizer, tokenizer or steps do not match the checkpoint.
  init(
    _ reader: CheckpointReader, branchingFrom path: String, _ configuration: RunConfiguration,
    sources present: RunSources
  ) throws {
    guard let updates = reader.metadata[Self.updatesKey]?.integer, let settings = reader.metadata[Self.settingsKey]
    else {
      throw configuration.branchError(
        Violation("is '\(path)', which was not written by a training run", code: .wrongKind))
    }
    if let violation = try configuration.violation(toBranchFrom: reader, path, settings, present) {
      throw configuration.branchError(violation)
    }
    let trunk = Branch(reader.metadata)
    let counts = ["batch.sequences", "data.sequence_length"].map { Int(settings[$0]?.string ?? "") ?? 0 }
    let branch = Branch(
      from: path, reader, tokens: (trunk?.tokens ?? 0) + (reader.step - (trunk?.step ?? 0)) * counts[0] * counts[1])
    self.init(
      progress: TrainingStep.Progress(
        updates: updates, spikes: LossSpikeDetector(configuration.spikes), streamStart: branch.step),
      ledger: nil, validationLoss: nil, validationSets: nil, configuration: configuration, sources: present,
      branch: branch)
    beginsBranch = true
    continuedConfiguration = reader.metadata[Self.configurationKey]?.string
  }

  /// Why `run.branch_from` does not match the run's recorded branch point; nil when it does.
  var branchViolation: Violation? {
    guard let path = configuration.run.branchFrom else { return nil }
    guard let branch else {
      return Violation(
        "was not branched off, and run.branch_from is '\(path)'",
        hint: "leave that out, or give the branch another run.directory", code: .runDiffers)
    }
    guard !branch.isNamed(by: path) else { return nil }
    return Violation(
      "was branched off from '\(branch.from)' at step \(branch.step), not from '\(path)'",
      hint: "restore run.branch_from, or give the new branch another run.directory", code: .runDiffers)
  }
}

extension RunConfiguration {
  /// An error at the line of `run.branch_from`.
  func branchError(_ violation: Violation) -> ForgeError {
    let section = try? ConfigurationSection(source).section("run")
    return section?.error("branch_from", violation.problem, hint: violation.hint, code: violation.code)
      ?? violation.error("run.branch_from ")
  }

  /// Why a run cannot branch from a checkpoint, as text that follows the setting's name; nil when it can.
  fileprivate func violation(
    toBranchFrom reader: CheckpointReader, _ path: String, _ settings: JSONValue, _ present: RunSources
  ) throws -> Violation? {
    if let text = (reader.metadata[PretrainedModel.metadataKey] ?? settings["model"])?.string {
      let recorded = try PretrainedModel.configuration(recorded: text, source: "checkpoint '\(reader.path)'")
      if let difference = Self.difference(recorded, model) {
        return Violation(
          "is '\(path)', which is of another model: \(difference)", hint: "a branch has its trunk's model",
          code: .weightsMismatch)
      }
    }
    let optimizer = (settings["optimizer.name"]?.string ?? "adamw", self.optimizer.muon == nil ? "adamw" : "muon")
    guard optimizer.0 == optimizer.1 else {
      return Violation(
        "is '\(path)', which was trained with optimizer.name = \(optimizer.0), not \(optimizer.1), whose state is "
          + "another", hint: "set optimizer.name to \(optimizer.0), or start from its weights alone with model.from",
        code: .runDiffers)
    }
    guard reader.step < run.steps else {
      return Violation(
        "is '\(path)', which is at step \(reader.step) already, and run.steps is \(run.steps): they count from the "
          + "trunk's beginning", hint: "set run.steps to more", code: .conflictingSettings)
    }
    if let own = present.model, let given = pretrained, !Self.begins(reader, path, with: own, given) {
      return Violation(
        "is '\(path)', and model.from names other weights, '\(given)'",
        hint: "leave one of them out (a branch has the weights of its checkpoint)", code: .conflictingSettings)
    }
    guard let recorded = RunSources(reader.metadata) else { return nil }
    var together = present
    together.model = nil
    together.train += recorded.train + recorded.validation
    if let mixed = together.mixedTokenizers {
      return Violation(
        "is '\(path)', whose data are not of the same tokenizer: \(mixed.problem)", hint: mixed.hint, code: mixed.code)
    }
    if let own = present.tokenizer, let before = recorded.tokenizer, own != before {
      return Violation(
        "is '\(path)', which was trained on data of another tokenizer than the run's data",
        hint: "prepare them with the trunk's (its folder has a copy, 'tokenizer')", code: .tokenizerMismatch)
    }
    return nil
  }

  /// Whether a model is the checkpoint itself, of its run, or that run's initial model.
  private static func begins(
    _ reader: CheckpointReader, _ path: String, with model: RunSources.Model, _ given: String
  ) -> Bool {
    if model.sha256 == reader.root { return true }
    if RunSources.isSame(RunDirectory(containing: given).path, RunDirectory(containing: path).path) { return true }
    if let recorded = RunSources(reader.metadata) { return recorded.model?.sha256 == model.sha256 }
    // Versions that did not record hashes recorded the path.
    let configuration = reader.metadata[RunRecord.configurationKey]?.string.flatMap {
      try? ConfigurationNode.parse($0, source: "the checkpoint")
    }
    return configuration?.leaves["model.from"].map { RunSources.isSame($0, given) } ?? false
  }

  /// The difference that makes one model's state unusable for another; nil for none. Positions may be extended.
  private static func difference(_ recorded: ModelConfiguration, _ now: ModelConfiguration) -> String? {
    func named(_ model: ModelConfiguration) -> [(String, String)] {
      [
        ("model_type", model.family.name), ("vocab_size", "\(model.vocabularySize)"),
        ("hidden_size", "\(model.hiddenSize)"), ("intermediate_size", "\(model.intermediateSize)"),
        ("num_hidden_layers", "\(model.layers)"), ("num_attention_heads", "\(model.heads)"),
        ("num_key_value_heads", "\(model.keyValueHeads)"), ("head_dim", "\(model.headDimension)"),
        ("tie_word_embeddings", "\(model.tiedEmbeddings)"),
      ]
    }
    for ((key, before), (_, value)) in zip(named(recorded), named(now)) where before != value {
      return "its \(key) is \(before), not \(value)"
    }
    var extended = recorded
    (extended.rotary, extended.maximumPositions, extended.windows) = (now.rotary, now.maximumPositions, now.windows)
    extended.initializerRange = now.initializerRange
    return extended.computesAs(now) ? nil : "its experts, biases or norms are others"
  }
}
