import Checkpoints
import Support

/// Deletes all checkpoints of a run but those that are to be kept.
public struct PruneCheckpoints: Command {
  /// A run directory or its checkpoints folder.
  public var directory: String
  /// How many of the newest stay.
  public var keepLast: Int
  /// Multiples of so many steps stay.
  public var keepEvery: Int?
  /// How many of those with the lowest validation losses stay.
  public var keepBest: Int
  /// Whether it is only said what would be deleted.
  public var dryRun: Bool
  /// How many chunks are read at a time.
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
    guard !dryRun else {
      return PrunedCheckpoints(
        isDone: false, names: names(folder.condemned(by: retention)) + folder.leftovers(), problems: [], failure: nil)
    }
    let lock = try RunLock(of: folder)
    return try withExtendedLifetime(lock) {
      let leftovers = folder.leftovers()
      try folder.recover()
      let condemned = folder.condemned(by: retention)
      var problems: [String] = []
      let verified = try folder.prune(
        keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest, threads: threads
      ) { problems.append($0.description) }
      let isRefused = verified == nil && !condemned.isEmpty
      return PrunedCheckpoints(
        isDone: true, names: leftovers + names(condemned), problems: problems,
        failure: isRefused
          ? .badInput("nothing was deleted, because none of the newest that would stay is sound", code: .fileDamaged)
          : nil)
    }
  }
}

/// What was deleted, or would be.
public struct PrunedCheckpoints: CommandResult {
  /// False for a dry run.
  public let isDone: Bool
  /// Of checkpoints, and of what interrupted saves left.
  public let names: [String]
  /// What is damaged of those that stay.
  public let problems: [String]
  public let failure: ForgeError?

  public var text: String {
    let problems = problems.map { $0 + "\n" }.joined()
    guard failure == nil else { return problems }
    let deletions = names.map { isDone ? "deleted \($0)\n" : "\($0)\n" }.joined()
    return problems + (names.isEmpty ? "nothing to delete\n" : deletions)
  }

  public var json: JSONLine {
    .object([
      ("dry_run", .boolean(!isDone)), ("deleted", .strings(failure == nil ? names : [])),
      ("problems", .strings(problems)),
    ])
  }
}
