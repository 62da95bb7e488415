import ConfigurationFiles
public import Sharding

extension RunConfiguration {
  public struct Parallelism: Sendable {
    public enum Balance: String, Sendable, CaseIterable {
      /// Straggler balancing: slow ranks get fewer micro-batches, or have more experts shadowed where these are shared.
      case auto
      /// All ranks are assumed to be equally fast.
      case even
    }

    /// Expert-parallel degree: ranks that share the experts of a layer; nil selects it automatically.
    public var expert: Int?
    public var sharding: ZeROStage
    public var balance: Balance
    /// When experts of busy ranks are shadowed.
    public var shadowExperts: ExpertShadowing

    init(_ settings: SettingsReader) throws {
      expert = try settings.value(
        "expert",
        .automatic(or: .atLeast(1, limit: nil), "the number of ranks that share the experts of a layer"), default: nil,
        "Expert parallelism: ranks that share the experts of a layer, a divisor of the ranks.")
      sharding = try settings.value(
        "sharding", .choice, default: .optimizer,
        "State that each rank keeps: `none` all of it, `optimizer` its share of the moments (ZeRO-1), `full` its share of "
          + "everything (ZeRO-3).")
      shadowExperts = try settings.value(
        "shadow_experts", .choice, default: .auto,
        "Expert shadowing (FasterMoE): less busy ranks of the group compute with copies of busy ranks' experts; `auto` "
          + "within a node and when it pays, `always`, or `never`.")
      balance = try settings.value(
        "balance", .choice, default: .auto,
        "Load balancing: by `auto` a slow rank gets fewer micro-batches where no experts or parameters are shared, and "
          + "has more of its experts shadowed where experts are; `even` takes all ranks to be equally fast.")
    }
  }

  /// The expert-parallel degree for `ranks` ranks: how many share the experts of a layer; 1 for a dense model.
  ///
  /// - Throws: `ForgeError.badInput` when the configured degree is invalid.
  public func expertDegree(ranks: Int) throws -> Int {
    let experts = model.experts?.count ?? 0
    guard let degree = parallelism.expert else {
      return ExpertPlacement.automaticDegree(experts: experts, ranks: ranks)
    }
    guard let section = try ConfigurationSection(source).section("parallelism") else { return degree }
    guard ranks % degree == 0 else {
      throw section.error(
        "expert", "is \(degree), which does not divide the \(ranks) ranks", hint: "use a divisor, or 'auto'",
        code: .invalidLayout)
    }
    guard degree <= max(1, experts) else {
      throw section.error(
        "expert", "is \(degree), more than the model's \(experts) experts", hint: "use at most that, or 'auto'",
        code: .invalidLayout)
    }
    return degree
  }
}
