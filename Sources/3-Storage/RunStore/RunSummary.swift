import ConfigurationFiles
import Foundation
import Support

/// How a run stands, as the ends of its files tell.
public struct RunSummary: Sendable {
  /// What became of a run.
  public enum State: String, Sendable {
    /// A job holds the lease and has given a sign of life.
    case running
    /// All steps are done.
    case finished
    /// It ended in good order before its last step: the same command continues it.
    case stopped
    /// It ended in no order, by an error, a kill or a lost machine: `forge why` says more.
    case failed
    /// Its files do not say.
    case unknown
    /// A file of it cannot be read.
    case unreadable
  }

  /// The directory's, with all of its bytes (see `PathBytes`).
  public var name: String
  public var state: State
  /// The last step that was recorded; nil before the first.
  public var step: Int?
  /// Steps that the run is to do in all.
  public var steps: Int?
  /// Mean nats per token at the last step; NaN where it is no number.
  public var loss: Double?
  public var tokensPerSecond: Double?
  /// The last sign of life, seconds since 1970.
  public var lastSeen: Double?
  /// What cannot be read, in words.
  public var problem: String?

  /// Reads the ends of a run's files.
  ///
  /// - Parameter now: seconds since 1970.
  /// - Returns: nil for a directory without any file of a run.
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
      guard lease != nil else { throw ForgeError.tryAgain("cannot read '\(run.lock)': it holds no lease") }
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

  /// - Returns: nil when there is no such file.
  private static func last<Parsed>(_ path: String, _ parse: (ArraySlice<UInt8>) -> Parsed?) throws -> Parsed? {
    modified(path) == nil ? nil : try FileTail.last(of: path, parse: parse)
  }

  /// Leases of versions before do not have it.
  private static func configuredSteps(_ run: RunDirectory) throws -> Int? {
    guard modified(run.configuration) != nil else { return nil }
    guard case .integer(let steps) = try ConfigurationNode.load(path: run.configuration)["run"]?["steps"]?.value else {
      return nil
    }
    return steps
  }

  /// When a file was changed, seconds since 1970; nil when there is none.
  private static func modified(_ path: String) -> Double? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) * 1e-9
  }
}

extension RunSummary {
  /// The runs in a folder, those seen last first; or the one run that the folder is.
  ///
  /// A run that cannot be read is among them and says so.
  ///
  /// - Throws: `ForgeError.badInput` when there is no such folder.
  public static func all(in folder: String, now: Double = Date().timeIntervalSince1970) throws -> [RunSummary] {
    guard let names = names(in: folder) else {
      throw ForgeError.badInput("cannot read the folder '\(folder)': \(String(cString: strerror(errno)))")
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

  /// The names of the folders in one, whatever their bytes; nil, with `errno`, when it cannot be read.
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
