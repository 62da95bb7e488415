import ConfigurationFiles

extension RunConfiguration {
  public struct Run: Sendable {
    public var name: String
    public var directory: String
    /// The checkpoint or run that the run branches from; nil for none.
    public var branchFrom: String?
    public var seed: UInt64
    public var steps: Int
    /// Compute threads per rank; nil divides the node's cores among its ranks.
    public var threads: Int?
    /// The pinned CPU kernel family, for the same bits on different CPUs.
    public var kernelFamily: String?
    /// Steps between silent data corruption checks of the parameters; 0 for none.
    public var compareReplicas: Int

    init(_ settings: SettingsReader) throws {
      (name, directory) = try Self.place(settings)
      branchFrom = try settings.optional(
        "branch_from", .path, without: "a beginning of its own",
        "Checkpoint, or run (its last one), that a new run begins with: weights, optimizer state, step and schedule go on, and "
          + "data, sequence length and batch may be others.")
      seed = UInt64(
        try settings.value(
          "seed", .integer(.atLeast(0, limit: nil)), default: 1,
          "Random seed of the initial weights and of the order of the data."))
      steps = try settings.required(
        "steps", .integer(.positive), "Optimizer steps of the whole run, those before it branched off included.")
      threads = try settings.optional(
        "threads", .integer(.positive(limit: 1 << 16)), without: "the node's cores / its ranks",
        "Threads that a rank computes with; they have no effect on the numbers.")
      kernelFamily = try settings.optional(
        "kernel_family", .text, without: "the best of the CPU, unless `OPENBLAS_CORETYPE` is set",
        "CPU kernel family, `haswell` or `skylakex`, pinned where nodes differ.")
      compareReplicas = try settings.value(
        "compare_replicas", .integer(.atLeast(0)), default: 1,
        "Steps between two comparisons of the ranks' copies of the parameters; 0 never compares.")
    }

    /// The run's name and directory, which can be read before the other settings.
    static func place(_ settings: SettingsReader) throws -> (name: String, directory: String) {
      let name = try settings.value("name", .text, default: "run", "Name of the run.")
      let directory = try settings.value(
        "directory", .path, default: "runs/\(name)", words: "`runs/NAME`",
        "Run directory, where everything goes; one with a sound checkpoint is continued.")
      return (name, directory)
    }
  }
}
