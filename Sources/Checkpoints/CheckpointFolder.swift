import Diagnostics
import Foundation

/// The `checkpoints` folder of a run: which checkpoints there are, and the atomic steps by which they come and go.
///
/// A checkpoint is made in `step-N.partial`, becomes `step-N` by one rename when everything in it is durable, and
/// leaves as `step-N.deleting`. Whatever an interruption leaves, ``recover()`` tidies away. Only one process of a run
/// (rank 0) may use the methods that change the folder.
public struct CheckpointFolder: Sendable {
  public let path: String
  let files: any FileOperations

  public init(path: String, files: any FileOperations = PosixFiles()) {
    self.path = path
    self.files = files
  }

  // MARK: Names

  /// `step-00000100`
  public static func name(step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  public func path(step: Int) -> String { "\(path)/\(Self.name(step: step))" }

  static let partialSuffix = ".partial"
  static let replacedSuffix = ".replaced"
  static let deletingSuffix = ".deleting"
  static let latestName = "latest"

  /// The steps that have a folder, in ascending order, whether it is sound or not.
  public func steps() -> [Int] {
    entries().compactMap { name in
      guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), Self.name(step: step) == name else {
        return nil
      }
      return step
    }.sorted()
  }

  private func entries() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  // MARK: Saving

  /// Makes the empty temporary folder into which every rank's ``ChunkWriter`` writes.
  ///
  /// - Returns: its path.
  public func begin(step: Int) throws -> String {
    try files.makeFolder(path)
    try recover()
    let partial = path(step: step) + Self.partialSuffix
    try files.makeFolder(partial)
    return partial
  }

  /// Makes a checkpoint of what the ranks wrote: manifest, durable folder, rename, and only then `latest`.
  ///
  /// A checkpoint of the same step that is already there is replaced. After an error the earlier checkpoints are as
  /// they were, and the save can be tried again from ``begin(step:)``.
  ///
  /// - Parameters:
  ///   - tensors: every tensor of the checkpoint.
  ///   - chunks: every rank's chunks, in any order. Together they must cover each tensor exactly once.
  ///   - metadata: whatever else a run needs to go on: configuration, versions, the sampler's position.
  public func commit(
    step: Int, tensors: [TensorDescription], chunks: [ChunkRecord], metadata: JSONValue
  ) throws {
    let manifest = CheckpointManifest(step: step, metadata: metadata, tensors: tensors, chunks: chunks)
    do { try manifest.validate() } catch {
      preconditionFailure("the ranks' chunks do not make a checkpoint: \(error.description)")
    }
    let complete = path(step: step)
    let partial = complete + Self.partialSuffix
    let replaced = complete + Self.replacedSuffix
    let (bytes, root) = try manifest.encoded()
    try files.writeDurably(bytes, to: "\(partial)/\(CheckpointManifest.fileName)")
    try files.synchronizeFolder(partial)
    let isReplacing = exists(complete)
    if isReplacing { try files.rename(complete, to: replaced) }
    try files.rename(partial, to: complete)
    try files.synchronizeFolder(path)
    try moveLatest(to: step, root: root)
    if isReplacing { try files.removeTree(replaced) }
  }

  private func moveLatest(to step: Int, root: String) throws {
    let latest = "\(path)/\(Self.latestName)"
    try files.writeDurably(Array("\(Self.name(step: step)) \(root)\n".utf8), to: latest + Self.partialSuffix)
    try files.rename(latest + Self.partialSuffix, to: latest)
    try files.synchronizeFolder(path)
  }

  /// Removes what interrupted saves and deletions have left, and puts back a checkpoint whose replacement never came.
  public func recover() throws {
    for name in entries() {
      let entry = "\(path)/\(name)"
      if name.hasSuffix(Self.replacedSuffix) {
        let original = String(entry.dropLast(Self.replacedSuffix.count))
        if exists(original) {
          try files.removeTree(entry)
        } else {
          try files.rename(entry, to: original)
          try files.synchronizeFolder(path)
        }
      } else if name == Self.latestName + Self.partialSuffix {
        try files.removeFile(entry)
      } else if name.hasPrefix("step-"), name.hasSuffix(Self.partialSuffix) || name.hasSuffix(Self.deletingSuffix) {
        try files.removeTree(entry)
      }
    }
  }

  // MARK: Retention

  /// Deletes all but the newest `keepLast` checkpoints (and every step that is a multiple of `keepEvery`), oldest first.
  ///
  /// Nothing is deleted before one of those that stay has been read back and verified, so there is always a sound one.
  ///
  /// - Parameters:
  ///   - verified: a step that this process has already read back or resumed from; saves reading it again.
  ///   - report: told about every kept checkpoint that turns out to be damaged.
  /// - Returns: the step that was verified, for the next call.
  @discardableResult
  public func prune(
    keepLast: Int, keepEvery: Int? = nil, verified: Int? = nil, threads: Int = 1,
    report: (ForgeError) -> Void = { _ in }
  ) throws -> Int? {
    precondition(keepLast > 0, "a run keeps at least one checkpoint")
    let steps = steps()
    let newest = steps.suffix(keepLast)
    let condemned = steps.dropLast(keepLast).filter { step in keepEvery.map { step % $0 != 0 } ?? true }
    guard !condemned.isEmpty else { return verified }
    let sound = verified.flatMap { newest.contains($0) ? $0 : nil }
    guard let sound = sound ?? newest.reversed().first(where: { isSound(step: $0, threads: threads, report) }) else {
      return nil
    }
    for step in condemned {
      let deleting = path(step: step) + Self.deletingSuffix
      try files.rename(path(step: step), to: deleting)
      try files.synchronizeFolder(path)
      try files.removeTree(deleting)
    }
    return sound
  }

  private func isSound(step: Int, threads: Int, _ report: (ForgeError) -> Void) -> Bool {
    do {
      try CheckpointReader(path: path(step: step)).verify(threads: threads)
      return true
    } catch let error as ForgeError {
      report(error)
      return false
    } catch {
      return false
    }
  }
}
