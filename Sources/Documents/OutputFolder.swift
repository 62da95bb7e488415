import Diagnostics
import Foundation

/// A folder that is filled beside its place, as `NAME.partial`, and put there when complete; removed when dropped
/// before.
final class OutputFolder {
  let path: String
  /// Where to write.
  let partialPath: String

  /// Throws `badInput` when there is something at `path` that must not be replaced, or nothing can be written there.
  init(path: String, overwrite: Bool) throws {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    partialPath = self.path + ".partial"
    let manager = FileManager.default
    var isFolder: ObjCBool = false
    if manager.fileExists(atPath: self.path, isDirectory: &isFolder) {
      guard isFolder.boolValue else { throw ForgeError.badInput("'\(path)' exists and is not a folder") }
      guard overwrite || (try? manager.contentsOfDirectory(atPath: self.path).isEmpty) == true else {
        throw ForgeError.badInput("'\(path)' is not empty; choose another folder, or say --overwrite to replace it")
      }
    }
    // What an interrupted run has left.
    try? manager.removeItem(atPath: partialPath)
    guard (try? manager.createDirectory(atPath: partialPath, withIntermediateDirectories: true)) != nil else {
      throw ForgeError.badInput("cannot write '\(path)': \(String(cString: strerror(errno)))")
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: partialPath) }

  /// Moves the files to their place, replacing files of the same names.
  func commit() throws {
    // A folder may take the place of one that is empty, or of none, in one step.
    if rename(partialPath, path) == 0 { return }
    let names = try? FileManager.default.contentsOfDirectory(atPath: partialPath)
    for name in names ?? [] {
      // A folder within it takes the place of an empty one only.
      if rename(partialPath + "/" + name, path + "/" + name) == 0 { continue }
      try? FileManager.default.removeItem(atPath: path + "/" + name)
      if rename(partialPath + "/" + name, path + "/" + name) == 0 { continue }
      throw ForgeError.tryAgain("moving '\(name)' to '\(path)' failed: \(String(cString: strerror(errno)))")
    }
  }
}
