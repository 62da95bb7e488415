import Checkpoints
import Foundation
import Support

/// A request to verify one or all checkpoints of a run: reads every byte and reports what is damaged.
public struct VerifyCheckpoints: Command {
  /// A run directory, its checkpoints folder or a checkpoint.
  public var source: String
  /// The number of chunks to read in parallel.
  public var threads: Int

  public init(source: String, threads: Int) { (self.source, self.threads) = (source, threads) }

  public func run(_ sinks: CommandSinks) throws -> CheckpointVerification {
    try ThreadLimit.check(threads)
    let paths: [String]
    var result = CheckpointVerification()
    switch try CheckpointLocation(path: source) {
    case .one(let path): paths = [path]
    case .all(let folder):
      paths = folder.steps().map { folder.path(step: $0) }
      let latest = folder.path + "/latest"
      if FileManager.default.fileExists(atPath: latest) {
        do { _ = try CheckpointLocation(path: latest) } catch { result.latestProblem = "\(error)" }
      }
    }
    for path in paths {
      let checkpoint = try verify(path)
      if checkpoint.problems.isEmpty { try sinks.stream(checkpoint.text) }
      result.checkpoints.append(checkpoint)
    }
    try sinks.stream(result.problems.map { $0 + "\n" }.joined())
    return result
  }

  private func verify(_ path: String) throws -> CheckpointVerification.Checkpoint {
    let started = ContinuousClock.now
    do {
      let reader = try CheckpointReader(path: path)
      let problems = reader.damage(threads: threads).map(\.description)
      let seconds = (ContinuousClock.now - started) / .seconds(1)
      return .init(
        path: reader.path, chunks: reader.chunkCount, bytes: reader.storedBytes, seconds: seconds, problems: problems)
    } catch let error as ForgeError where error.kind == .badInput {
      return .init(path: path, chunks: nil, bytes: nil, seconds: nil, problems: [error.description])
    }
  }
}

/// The result of checkpoint verification.
public struct CheckpointVerification: CommandResult {
  /// The result of one checkpoint.
  public struct Checkpoint: Sendable {
    public var path: String
    /// The number of chunks; nil, like `bytes` and `seconds`, if the checkpoint could not be opened.
    public var chunks: Int?
    public var bytes: Int?
    public var seconds: Double?
    /// The damage found, a sentence each; empty for a valid checkpoint.
    public var problems: [String]

    var text: String {
      "\(path): sound, \(chunks ?? 0) chunks, \(Words.size(bytes ?? 0)) in " + Words.fixed(seconds ?? 0, digits: 2)
        + " s\n"
    }
  }

  public static let isStreamed = true
  public var checkpoints: [Checkpoint] = []
  /// The problem of `latest`; nil if it is valid or absent.
  public var latestProblem: String?

  /// All problems, that of `latest` first.
  public var problems: [String] { [latestProblem].compactMap { $0 } + checkpoints.flatMap(\.problems) }

  public var text: String {
    checkpoints.filter(\.problems.isEmpty).map(\.text).joined() + problems.map { $0 + "\n" }.joined()
  }

  public var failure: ForgeError? {
    guard !problems.isEmpty else { return nil }
    let damaged = checkpoints.filter { !$0.problems.isEmpty }.count
    guard damaged > 0 else {
      return .badInput("'latest' is damaged", hint: "the next save replaces it", code: .fileDamaged)
    }
    return .badInput(
      "\(damaged) of \(checkpoints.count) checkpoints \(damaged == 1 ? "is" : "are") damaged", code: .fileDamaged)
  }

  public var json: JSONLine {
    let checkpoints = checkpoints.map { checkpoint in
      JSONLine.object([
        ("path", .path(checkpoint.path)), ("sound", .boolean(checkpoint.problems.isEmpty)),
        ("chunks", .optional(checkpoint.chunks)), ("stored_bytes", .optional(checkpoint.bytes)),
        ("seconds", .optional(checkpoint.seconds)), ("problems", .strings(checkpoint.problems)),
      ])
    }
    return .object([
      ("sound", .boolean(problems.isEmpty)), ("checkpoints", .list(checkpoints)),
      ("latest_problem", .optional(latestProblem)),
    ])
  }
}
