import ConfigurationFiles

extension RunConfiguration {
  public struct Validation: Sendable {
    /// Steps between validations; 0 never validates.
    public var every: Int
    /// Max sequences per validation, with at least one of each set.
    public var sequences: Int

    init(_ settings: SettingsReader) throws {
      every = try settings.value(
        "every", .integer(.atLeast(0)), default: 100, "Steps between two validations; 0 never validates.")
      sequences = try settings.value(
        "sequences", .integer(.positive), default: 64,
        "Sequences of a validation, at most: shared out among the sets by their weights, to each at least one, and spread "
          + "evenly over each set.")
      if !settings.isWritten { (every, sequences) = (0, 0) }
    }
  }

  public struct Checkpoint: Sendable {
    /// Steps between checkpoints; 0 saves only at the end and when asked to stop.
    public var every: Int
    public var keepLast: Int
    public var keepEvery: Int?
    /// The number of checkpoints with the lowest validation loss to keep.
    public var keepBest: Int
    /// Whether checkpoints are written from a staging buffer while training continues.
    public var isAsynchronous: Bool
    /// zstd compression level, for the bytes that compress; negative levels are its fast ones.
    public var level: Int
    /// Node-local checkpoints; nil for none.
    public var local: Local?

    init(_ settings: SettingsReader) throws {
      every = try settings.value(
        "every", .integer(.atLeast(0)), default: 0,
        "Steps between two checkpoints; 0 saves at the end and when asked to stop.")
      keepLast = try settings.value(
        "keep_last", .integer(.positive), default: 2, "Retention: so many of the last checkpoints stay.")
      keepEvery = try settings.optional(
        "keep_every", .integer(.positive), without: "none",
        "Retention: checkpoints of every so many steps stay for ever.")
      keepBest = try settings.value(
        "keep_best", .integer(.atLeast(0)), default: 0,
        "Retention: so many checkpoints of the lowest validation loss stay too.")
      isAsynchronous = try settings.value(
        "asynchronous", .boolean, default: true,
        "Whether training goes on while a checkpoint is written, from a copy of the state in memory; if not, it waits and "
          + "needs no such memory.")
      // On the exponents of weights and moments -50 compresses as well as 1 (the mean of all three within 1 %), at
      // twice the speed.
      level = try settings.value(
        "level", .integer(.within(-100...22)), default: -50,
        "Compression level of zstd, for the bytes that compress; negative levels are its fast ones.")
      local = try Local(settings, every: every)
    }
  }

  /// Node-local checkpoints; declared in the section `checkpoint`.
  public struct Local: Sendable {
    /// A folder on a disk of the node, in which `%h` is replaced by the host name.
    public var folder: String
    /// Steps between node-local checkpoints.
    public var every: Int

    /// - Returns: nil when none are configured.
    init?(_ settings: SettingsReader, every checkpoints: Int) throws {
      let (folderKey, stepsKey) = ("local", "local_every")
      let folder = try settings.optional(
        folderKey, .path, without: "no copies",
        "Folder on a disk of each node for copies between checkpoints; `%h` in it is the host's name.")
      every = try settings.value(
        stepsKey, .integer(.positive), default: max(1, checkpoints / 5), words: "a fifth of `checkpoint.every`",
        "Steps between two such copies: fewer than `checkpoint.every`, and needed where that is 0.")
      guard let folder else {
        try settings.require(
          !settings.contains(stepsKey), stepsKey, "needs checkpoint.local, the folder of the nodes' own copies")
        return nil
      }
      try settings.require(
        !folder.isEmpty, folderKey, "must name a folder on a disk of the node", code: .invalidSetting)
      try settings.require(
        checkpoints > 0 || settings.contains(stepsKey), folderKey,
        "needs checkpoint.local_every where checkpoint.every is 0")
      let steps = every
      try settings.require(
        checkpoints == 0 || steps < checkpoints || !settings.contains(stepsKey), stepsKey,
        "is \(steps), not less than checkpoint.every = \(checkpoints)")
      self.folder = folder
    }
  }
}
