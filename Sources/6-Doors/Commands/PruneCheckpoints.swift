import Checkpoints
import Support

/// A request to apply a retention policy: delete all checkpoints of a run except those that it keeps.
public struct PruneCheckpoints: Command {
  /// A run directory or its checkpoints folder.
  public var directory: String
  /// The number of newest checkpoints to keep.
  public var keepLast: Int
  /// The interval of steps whose multiples to keep; nil for none.
  public var keepEvery: Int?
  /// The number of checkpoints with the lowest validation losses to keep.
  public var keepBest: Int
  /// A dry run: return the names to delete, and delete nothing.
  public var dryRun: Bool
  /// The number of chunks to read in parallel.
  public var threads: Int

  public init(directory: String, keepLast: Int, keepEvery: Int?, keepBest: Int, dryRun: Bool, threads: Int) {
    (self.directory, self.keepLast, self.keepEvery) = (directory, keepLast, keepEvery)
    (self.keepBest, self.dryRun, self.threads) = (keepBest, dryRun, threads)
  }

  public func run(_ sinks: CommandSinks) throws -> PrunedCheckpoints {
    try ThreadLimit.check(threads)
    guard keepLast > 0 else {
      throw ForgeError.badInput("--keep-last must be at least 1, not \(keepLast)", code: .invalidArgument)
    }
    guard (keepEvery ?? 1) > 0 else {
      throw ForgeError.badInput("--keep-every must be at least 1", code: .invalidArgument)
    }
    guard keepBest >= 0 else { throw ForgeError.badInput("--keep-best must not be negative", code: .invalidArgument) }
    let folder = try CheckpointFolder.all(at: directory)
    let retention = Retention(keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest)
    func names(_ steps: [Int]) -> [String] { steps.map { CheckpointFolder.name(step: $0) } }
    /// What `recover` does with the leftovers of interrupted saves.
    func recovery() -> (restored: [String], deleted: [String]) {
      let restored = folder.restorable()
      return (restored, folder.leftovers().filter { !restored.contains($0) })
    }
    guard !dryRun else {
      let recovery = recovery()
      return PrunedCheckpoints(
        isDone: false, names: names(folder.deletions(by: retention)) + recovery.deleted, restored: recovery.restored,
        problems: [],
        failure: nil)
    }
    let lock = try RunLock(of: folder)
    return try withExtendedLifetime(lock) {
      let recovery = recovery()
      try folder.recover()
      let deletions = folder.deletions(by: retention)
      var problems: [String] = []
      let verified = try folder.prune(
        keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest, threads: threads
      ) { problems.append($0.description) }
      let isRefused = verified == nil && !deletions.isEmpty
      return PrunedCheckpoints(
        isDone: true, names: recovery.deleted + names(deletions), restored: recovery.restored, problems: problems,
        failure: isRefused
          ? .badInput("nothing was deleted, because none of the newest that would stay is sound", code: .fileDamaged)
          : nil)
    }
  }
}

/// The deleted checkpoints, or those that a dry run would delete.
public struct PrunedCheckpoints: CommandResult {
  /// Whether the deletions were performed; false for a dry run.
  public let isDone: Bool
  /// The names of deleted checkpoints, and of deleted leftovers of interrupted saves.
  public let names: [String]
  /// The names of leftovers that become checkpoints again, because their replacement was not committed.
  public let restored: [String]
  /// The damaged among the kept checkpoints, a sentence each.
  public let problems: [String]
  public let failure: ForgeError?

  public var text: String {
    let problems = problems.map { $0 + "\n" }.joined()
    guard failure == nil else { return problems }
    let restorations = restored.map { "\(isDone ? "restored" : "to restore:") \($0)\n" }.joined()
    let deletions = names.map { isDone ? "deleted \($0)\n" : "\($0)\n" }.joined()
    return problems + restorations + (names.isEmpty ? "nothing to delete\n" : deletions)
  }

  public var json: JSONLine {
    .object([
      ("dry_run", .boolean(!isDone)), ("deleted", .strings(failure == nil ? names : [])),
      ("restored", .strings(restored)),
      ("problems", .strings(problems)),
    ])
  }
}
