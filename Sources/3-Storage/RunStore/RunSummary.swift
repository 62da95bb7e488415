import ConfigurationFiles
import Foundation
import Support

/// The status of a run, from the ends of its files.
public struct RunSummary: Sendable {
  /// The state of a run.
  public enum State: String, Sendable {
    /// A job holds the lease and its heartbeat is recent.
    case running
    /// All steps are done.
    case finished
    /// It ended cleanly before its last step: the same command continues it.
    case stopped
    /// It ended by an error, a kill or a lost machine; see `forge why`.
    case failed
    /// Its files do not determine its state.
    case unknown
    /// One of its files cannot be read.
    case unreadable
  }

  /// The directory's name, as `PathBytes` encodes it.
  public var name: String
  public var state: State
  /// The last step that was recorded; nil before the first.
  public var step: Int?
  /// The total steps of the run.
  public var steps: Int?
  /// The loss of the last step, mean nats per token; NaN if it is not a number.
  public var loss: Double?
  public var tokensPerSecond: Double?
  /// The last sign of life, seconds since 1970.
  public var lastSeen: Double?
  /// The error of an unreadable run.
  public var problem: String?

  /// Reads a run's status.
  ///
  /// - Parameter now: seconds since 1970.
  /// - Returns: nil for a directory without files of a run.
  public init?(_ run: RunDirectory, name: String, now: Double = Date().timeIntervalSince1970) {
    let times = [run.lock, run.metrics, run.ledger, run.configuration].map(Self.modified)
    guard times.contains(where: { $0 != nil }) || Self.modified(run.checkpointsPath) != nil else { return nil }
    self.name = name
    state = .unknown
    lastSeen = times.prefix(3).compactMap(\.self).max() ?? times.last ?? nil
    do {
      try read(run, isFresh: times[0].map { RunLease.isFresh(touched: $0, now: now) } ?? false)
    } catch {
      state = .unreadable
      problem = "\(error)"
    }
  }

  private mutating func read(_ run: RunDirectory, isFresh: Bool) throws {
    if let line = try Self.last(run.metrics, { MetricsLine($0) }) {
      (step, loss, tokensPerSecond) = (line.step, line.loss, line.tokensPerSecond)
    }
    var lease: RunLease.Record?
    if Self.modified(run.lock) != nil {
      lease = RunLease.read(run.lock)
      guard lease != nil else {
        throw ForgeError.tryAgain("cannot read '\(run.lock)': it holds no lease", code: .fileUnreadable)
      }
    }
    steps = try lease?.steps ?? Self.configuredSteps(run)
    let isComplete = step != nil && step == steps
    func hasEnded() throws -> Bool { try Self.last(run.ledger, LedgerFile.kind) == "end" }
    state =
      if let lease, lease.isReleased { isComplete ? .finished : .stopped } else if lease != nil, isFresh {
        .running
      } else if lease != nil {
        try hasEnded() ? .finished : .failed
      } else {
        try isComplete || hasEnded() ? .finished : .unknown
      }
  }

  /// - Returns: nil when the file does not exist.
  private static func last<Parsed>(_ path: String, _ parse: (ArraySlice<UInt8>) -> Parsed?) throws -> Parsed? {
    modified(path) == nil ? nil : try FileTail.last(of: path, parse: parse)
  }

  /// The total steps from `config.yaml`, for leases of earlier versions.
  private static func configuredSteps(_ run: RunDirectory) throws -> Int? {
    guard modified(run.configuration) != nil else { return nil }
    guard case .integer(let steps) = try ConfigurationNode.load(path: run.configuration)["run"]?["steps"]?.value else {
      return nil
    }
    return steps
  }

  /// The modification time of a file, seconds since 1970; nil when it does not exist.
  private static func modified(_ path: String) -> Double? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) * 1e-9
  }
}

extension RunSummary {
  /// The runs in a folder, most recent first; or one run, if the folder is one.
  ///
  /// Unreadable runs are included, with their `problem`.
  ///
  /// - Throws: `ForgeError.badInput` when there is no such folder.
  public static func all(in folder: String, now: Double = Date().timeIntervalSince1970) throws -> [RunSummary] {
    guard let names = names(in: folder) else {
      throw ForgeError.badInput(
        "cannot read the folder '\(folder)': \(String(cString: strerror(errno)))",
        code: .system(errno, else: .fileUnreadable))
    }
    if let own = RunSummary(RunDirectory(path: folder), name: URL(filePath: folder).lastPathComponent, now: now) {
      return [own]
    }
    return names.compactMap { name in
      guard PathBytes.isEscaped(name) else {
        return RunSummary(RunDirectory(path: "\(folder)/\(name)"), name: name, now: now)
      }
      return RunSummary(unreadable: name, "its name is not UTF-8; rename it")
    }
    .sorted { ($1.lastSeen ?? 0, $0.name) < ($0.lastSeen ?? 0, $1.name) }
  }

  private init(unreadable name: String, _ problem: String) {
    self.name = name
    state = .unreadable
    self.problem = problem
  }

  /// The names of the subfolders, as `PathBytes` encodes them; nil, with `errno`, when the folder cannot be read.
  private static func names(in folder: String) -> [String]? {
    guard let stream = opendir(folder) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let kind = Int32(entry.pointee.d_type)
      let name = withUnsafeBytes(of: entry.pointee.d_name) { PathBytes.string(of: $0.prefix { $0 != 0 }) }
      if name != ".", name != "..", [DT_DIR, DT_LNK, DT_UNKNOWN].contains(Int(kind)) { names.append(name) }
    }
    return names
  }
}
