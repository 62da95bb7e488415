import ConfigurationFiles
import Models
import Optimizers

extension RunConfiguration {
  /// The `optimizer:` section.
  struct OptimizerSection {
    private enum Name: String, CaseIterable {
      case adamw, muon
    }

    let settings: OptimizerSettings
    let clipNorm: Double?
    let learningRate: Double

    init(_ settings: SettingsReader) throws {
      let name: Name = try settings.value(
        "name", .choice, default: .adamw,
        "Optimizer: `adamw`, or `muon` for matrices between hidden layers and AdamW for the rest.")
      learningRate = try settings.required(
        "learning_rate", .number(.positive(limit: 1e4)), "Peak learning rate.")
      let betas = try settings.value(
        "betas", .numbers(2, "two", .within(0..<1)), default: [0.9, 0.95],
        "AdamW's decay rates of the first and the second moment.")
      let epsilon = try settings.value(
        "epsilon", .number(.positive), default: 1e-8, "AdamW's epsilon, which is added to the second moment's root.")
      let decay = try settings.value(
        "weight_decay", .number(.atLeast(0)), default: 0.1,
        "Weight decay, decoupled, of tensors with two or more dimensions.")
      clipNorm = try settings.optional(
        "clip_norm", .number(.positive), without: "no clipping",
        "Gradient clipping: the largest global norm of the gradient.")
      let (momentum, iterations) = ("momentum", "newton_schulz_steps")
      for key in [momentum, iterations] {
        try settings.require(
          name == .muon || !settings.contains(key), key, "is Muon's",
          hint: "set optimizer.name to muon, or leave it out")
      }
      let standard = Muon.Settings()
      let muon = Muon.Settings(
        momentum: try settings.value(
          momentum, .number(.within(0..<1)), default: standard.momentum, "Muon's momentum."),
        weightDecay: decay,
        newtonSchulzSteps: try settings.value(
          iterations, .integer(.positive(limit: 1000)), default: standard.newtonSchulzSteps,
          "Muon's Newton-Schulz iterations, which orthogonalise an update."))
      self.settings = OptimizerSettings(
        adamW: AdamW.Settings(beta1: betas[0], beta2: betas[1], epsilon: epsilon, weightDecay: decay),
        muon: name == .muon ? muon : nil)
    }
  }
}

extension LearningRateSchedule {
  /// The `schedule:` section.
  init(_ settings: SettingsReader, peak: Double, steps: Int) throws {
    let shape: Shape = try settings.value(
      "name", .choice(refusal: "is not a schedule"), default: .constant,
      "Shape after the warm-up: `constant`, `cosine`, or `wsd` (warm-up, stable, decay).")
    let (minimum, decay, warmup) = ("minimum_ratio", "decay_steps", "warmup_steps")
    try settings.requireOfNewRuns(
      shape != .constant || !settings.contains(minimum), minimum,
      "is of schedules that end low", hint: "set schedule.name to cosine or wsd, or leave it out")
    try settings.requireOfNewRuns(
      shape == .wsd || !settings.contains(decay), decay, "is wsd's", hint: "set schedule.name to wsd, or leave it out")
    self.init(
      shape: shape, peak: peak,
      minimumRatio: try settings.value(
        minimum, .number(.within(0...1)), default: shape == .cosine ? 0.1 : 0, words: "0.1 (cosine), 0 (wsd)",
        "What cosine and wsd end at, as a fraction of the peak."),
      warmupSteps: try settings.value(
        warmup, .integer(.atLeast(0)), default: 0, "Steps of linear warm-up."),
      decaySteps: try settings.value(
        decay, .integer(.atLeast(0)), default: steps / 5, words: "a fifth of `run.steps`",
        "Steps of wsd's final descent."),
      totalSteps: steps)
    let both = (warmup: warmupSteps, decay: decaySteps)
    try settings.requireOfNewRuns(
      shape != .wsd || !settings.contains(decay) || both.warmup + both.decay <= steps, decay,
      "is \(both.decay), which with warmup_steps = \(both.warmup) is more than run.steps = \(steps)",
      hint: "make one of them smaller"
    )
  }
}
