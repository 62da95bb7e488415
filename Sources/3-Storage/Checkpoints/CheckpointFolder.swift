import Foundation
import Support

/// A folder of checkpoints: lists them, and commits and deletes them atomically.
///
/// A checkpoint is written in `step-N.partial`, becomes `step-N` by one rename when everything in it is durable, and is
/// deleted as `step-N.deleting`. ``recover()`` cleans up after interruptions. Only one process may use the methods that
/// change a folder: rank 0, or for node-local checkpoints one rank of the node.
public struct CheckpointFolder: Sendable {
  public let path: String
  public let files: any FileOperations

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

  /// Parses a checkpoint's folder name; nil for any other name.
  static func step(name: some StringProtocol) -> Int? {
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), Self.name(step: step) == name else { return nil }
    return step
  }

  public func path(step: Int) -> String { "\(path)/\(Self.name(step: step))" }

  /// The temporary folder that ranks write a checkpoint in.
  public func partialPath(step: Int) -> String { path(step: step) + Self.partialSuffix }

  /// The metadata key of the validation loss, nats per token.
  public static let validationLossKey = "validation_loss"
  /// The metadata key of a hash of the validation sequences; losses of different sequences are not comparable.
  public static let validationSetsKey = "validation_sets_sha256"

  static let partialSuffix = ".partial"
  static let replacedSuffix = ".replaced"
  static let deletingSuffix = ".deleting"
  static let latestName = "latest"
  var latest: String { "\(path)/\(Self.latestName)" }

  /// The steps that have a folder, ascending, valid or not. Includes one whose replacement was interrupted.
  public func steps() -> [Int] {
    let names = entries().map { $0.hasSuffix(Self.replacedSuffix) ? $0.dropLast(Self.replacedSuffix.count) : $0[...] }
    return Set(names.compactMap(Self.step)).sorted()
  }

  /// The names of leftovers of interrupted saves and deletions, which ``recover()`` deletes or restores.
  public func leftovers() -> [String] {
    entries().filter { name in
      guard let dot = name.lastIndex(of: ".") else { return false }
      return switch name[dot...] {
      case Self.partialSuffix: name[..<dot] == Self.latestName || Self.step(name: name[..<dot]) != nil
      case Self.replacedSuffix, Self.deletingSuffix: Self.step(name: name[..<dot]) != nil
      default: false
      }
    }
  }

  /// The leftovers that ``recover()`` restores: checkpoints whose replacement was not committed.
  public func restorable() -> [String] {
    leftovers().filter { name in
      name.hasSuffix(Self.replacedSuffix) && !exists("\(path)/\(name.dropLast(Self.replacedSuffix.count))")
    }
  }

  /// The step that `latest` names, present or not; nil when there is no `latest` or it is damaged.
  public var latestStep: Int? {
    guard let bytes = try? ShardFile.contents(latest) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(separator: " ").first.flatMap(Self.step)
  }

  /// The root hash in `latest` if it names `step`; nil otherwise.
  public func latestRoot(step: Int) -> String? {
    guard let bytes = try? ShardFile.contents(latest) else { return nil }
    let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
    return words.count == 2 && words[0] == Self.name(step: step) ? String(words[1]) : nil
  }

  private func entries() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  // MARK: Saving

  /// Creates the empty temporary folder, ``partialPath(step:)``, for every rank's ``ChunkWriter``.
  ///
  /// - Returns: its path.
  @discardableResult
  public func begin(step: Int) throws -> String {
    try files.makeFolderDurably(path)
    try recover()
    let partial = partialPath(step: step)
    try files.makeFolder(partial)
    return partial
  }

  /// Commits a checkpoint that the ranks wrote: manifest, sync of the folder, rename, and only then `latest`.
  ///
  /// It replaces an existing checkpoint of the same step. After an error earlier checkpoints are intact, and the save
  /// can be retried from ``begin(step:)``.
  ///
  /// - Parameters:
  ///   - tensors: every tensor of the checkpoint.
  ///   - chunks: every rank's chunks, in any order. Together they must cover each tensor exactly once.
  ///   - metadata: what a run needs to resume besides tensors: configuration, versions, progress.
  public func commit(
    step: Int, tensors: [TensorDescription], chunks: [ChunkRecord], metadata: JSONValue
  ) throws {
    try commit(
      step: step, manifest: Self.manifest(step: step, tensors: tensors, chunks: chunks, metadata: metadata))
  }

  /// The bytes of the manifest that ``commit(step:tensors:chunks:metadata:)`` writes, for several folders.
  public static func manifest(
    step: Int, tensors: [TensorDescription], chunks: [ChunkRecord], metadata: JSONValue
  ) throws -> [UInt8] {
    let manifest = CheckpointManifest(step: step, metadata: metadata, tensors: tensors, chunks: chunks)
    do { try manifest.validate() } catch {
      preconditionFailure("the ranks' chunks do not make a checkpoint: \(error.description)")
    }
    return try manifest.encoded().bytes
  }

  /// As ``commit(step:tensors:chunks:metadata:)``, with an encoded manifest.
  public func commit(step: Int, manifest: [UInt8]) throws {
    let complete = path(step: step)
    let partial = partialPath(step: step)
    let replaced = complete + Self.replacedSuffix
    try files.writeDurably(manifest, to: "\(partial)/\(CheckpointManifest.fileName)")
    try files.synchronizeFolder(partial)
    let isReplacing = exists(complete)
    if isReplacing {
      if latestStep == step {  // it has the root hash of the replaced one
        try files.removeFile(latest)
        try files.synchronizeFolder(path)
      }
      try files.rename(complete, to: replaced)
    }
    try files.rename(partial, to: complete)
    try files.synchronizeFolder(path)
    try moveLatest(to: step, root: CheckpointManifest.root(of: manifest))
    if isReplacing { try files.removeTree(replaced) }
  }

  func moveLatest(to step: Int, root: String) throws {
    try files.writeDurably(Array("\(Self.name(step: step)) \(root)\n".utf8), to: latest + Self.partialSuffix)
    try files.rename(latest + Self.partialSuffix, to: latest)
    try files.synchronizeFolder(path)
  }

  /// Cleans up after interrupted saves and deletions, and restores a checkpoint whose replacement was not committed.
  ///
  /// A process that has saved nothing calls it before ``prune(keepLast:keepEvery:keepBest:verified:threads:report:)``.
  public func recover() throws {
    guard exists(path) else { return }
    // An earlier process may have been killed between a rename and its sync: make the renames durable before deleting
    // what they replaced.
    try files.synchronizeFolder(path)
    for name in leftovers() {
      let entry = "\(path)/\(name)"
      if name == Self.latestName + Self.partialSuffix {
        try files.removeFile(entry)
      } else if name.hasSuffix(Self.replacedSuffix) {
        let original = String(entry.dropLast(Self.replacedSuffix.count))
        if exists(original) { try files.removeTree(entry) } else { try files.rename(entry, to: original) }
      } else {
        try files.removeTree(entry)
      }
    }
  }
}
