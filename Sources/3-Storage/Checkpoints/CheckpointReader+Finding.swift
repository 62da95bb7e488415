import Foundation
import Support

extension CheckpointReader {
  /// Opens the newest valid checkpoint of a run's `checkpoints` folder.
  ///
  /// It falls back from a damaged or incomplete one to the one before it.
  ///
  /// - Parameters:
  ///   - report: called with everything damaged on the way, including `latest`.
  ///   - everyChunk: false verifies only manifests and file lengths, which is fast; damage within chunks is then found
  ///     when they are read.
  /// - Returns: nil when the folder has no checkpoints.
  /// - Throws: `ForgeError` (bad input) when there are checkpoints but none is valid, so that a run does not start
  ///   anew.
  public static func newestSound(
    in folder: String, everyChunk: Bool = true, threads: Int = 1, report: (ForgeError) -> Void = { _ in }
  ) throws -> CheckpointReader? {
    let checkpoints = CheckpointFolder(path: folder)
    let steps = checkpoints.steps()
    guard !steps.isEmpty else { return nil }
    if let problem = latestProblem(in: folder) { report(problem) }
    for step in steps.reversed() {
      do {
        let reader = try CheckpointReader(path: checkpoints.path(step: step))
        if everyChunk { try reader.verify(threads: threads) }
        return reader
      } catch {
        report(describe(error))
      }
    }
    throw ForgeError.badInput(
      "none of the \(steps.count) checkpoints in '\(folder)' is sound", hint: "remove the folder to start the run anew",
      code: .fileDamaged)
  }

  /// The error of a folder's `latest`; nil when it is valid or absent.
  public static func latestProblem(in folder: String) -> ForgeError? {
    let latest = "\(folder)/\(CheckpointFolder.latestName)"
    guard FileManager.default.fileExists(atPath: latest) else { return nil }
    do {
      _ = try followLatest(latest)
      return nil
    } catch {
      return describe(error)
    }
  }

  /// Resolves a path to a checkpoint's folder: itself, or the one that `latest` in or under it names.
  static func resolve(_ path: String) throws -> String {
    func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
    if exists("\(path)/\(CheckpointManifest.fileName)") { return path }
    // A crash between the two renames of a replacement leaves the old checkpoint.
    let replaced = path + CheckpointFolder.replacedSuffix
    if !exists(path), exists("\(replaced)/\(CheckpointManifest.fileName)") { return replaced }
    let latest = CheckpointFolder.latestName
    if (path as NSString).lastPathComponent == latest, exists(path) { return try followLatest(path) }
    for folder in [path, RunDirectory(path: path).checkpointsPath] {
      if exists("\(folder)/\(latest)") { return try followLatest("\(folder)/\(latest)") }
      // A crash between the last two steps of the first commit leaves a checkpoint without a `latest`.
      if let newest = try newestSound(in: folder, everyChunk: false) { return newest.path }
    }
    guard exists(path) else { throw ForgeError.badInput("there is no checkpoint '\(path)'", code: .fileNotFound) }
    throw ForgeError.badInput(
      "'\(path)' is not a checkpoint: it has no \(CheckpointManifest.fileName)", code: .wrongKind)
  }

  /// Reads a `latest` file (`step-00000100` and the manifest's root hash) and verifies that the two match.
  private static func followLatest(_ path: String) throws -> String {
    let words = String(decoding: try ShardFile.contents(path), as: UTF8.self).split(
      separator: " ", omittingEmptySubsequences: false)
    let folder = path.parentFolder
    let named = "\(folder)/\(words[0])"
    let manifest = "\(named)/\(CheckpointManifest.fileName)"
    guard words.count == 2, words[0].hasPrefix("step-"), !words[0].contains("/"), words[1].hasSuffix("\n") else {
      throw ForgeError.badInput(
        "'\(path)' is damaged: it should hold a checkpoint's name and its root hash", code: .fileDamaged)
    }
    guard FileManager.default.fileExists(atPath: manifest) else {
      throw ForgeError.badInput(
        "'\(path)' names \(words[0]), which is not there or has no manifest", code: .fileDamaged)
    }
    // The root hash is compared with the one at the manifest's end, which opening the checkpoint verifies.
    guard try ShardFile.contents(manifest).suffix(67).prefix(64).elementsEqual(words[1].dropLast().utf8) else {
      throw ForgeError.badInput(
        "'\(path)' is damaged, or \(words[0]) is not the checkpoint that it was made for", code: .fileDamaged)
    }
    return named
  }

  private static func describe(_ error: any Error) -> ForgeError {
    .bug(error)
  }
}
