import Foundation
import Support

/// A folder that is filled beside its place, under a name that nothing has, and put there when complete; removed when
/// dropped before.
final class OutputFolder {
  let path: String
  /// Where to write.
  let partialPath: String

  /// Throws `badInput` when there is something at `path` that must not be replaced, or nothing can be written there.
  init(path: String, overwrite: Bool) throws {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let name = PathBytes.display(path)
    if let status = RawPath(self.path).status() {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw ForgeError.badInput("'\(name)' exists and is not a folder")
      }
      guard overwrite || Self.names(in: self.path) == [] else {
        throw ForgeError.badInput("'\(name)' is not empty; choose another folder, or say --overwrite to replace it")
      }
    }
    let candidate = TemporaryName.beside(self.path)
    guard PathBytes.makeFolder(candidate.parentFolder), mkdir(PathBytes.cString(of: candidate), 0o777) == 0 else {
      throw ForgeError.badInput("cannot write '\(name)': \(String(cString: strerror(errno)))")
    }
    partialPath = candidate
  }

  deinit { Self.remove(partialPath) }

  /// Moves the files to their place, replacing files of the same names.
  func commit() throws {
    // A folder may take the place of one that is empty, or of none, in one step.
    if rename(PathBytes.cString(of: partialPath), PathBytes.cString(of: path)) == 0 { return }
    // What stands in a dataset's folders belongs to that dataset.
    let isDataset = RawPath(path + "/" + PreparedDataset.fileName).status() != nil
    try Self.move(partialPath, to: path, replacingFolders: isDataset)
  }

  /// Moves what is in a folder into another: folders of the same names are replaced, or filled.
  private static func move(_ source: String, to target: String, replacingFolders: Bool) throws {
    for name in names(in: source) ?? [] {
      let (from, to) = (source + "/" + name, target + "/" + name)
      if rename(PathBytes.cString(of: from), PathBytes.cString(of: to)) == 0 { continue }
      guard errno == ENOTEMPTY || errno == EEXIST else {
        throw ForgeError.tryAgain(
          "moving '\(PathBytes.display(name))' to '\(PathBytes.display(target))' failed: "
            + String(cString: strerror(errno)))
      }
      if replacingFolders {
        remove(to)
        if rename(PathBytes.cString(of: from), PathBytes.cString(of: to)) == 0 { continue }
      }
      try move(from, to: to, replacingFolders: replacingFolders)
    }
  }

  /// Removes a folder and all that is in it.
  private static func remove(_ path: String) {
    for name in names(in: path) ?? [] {
      let entry = path + "/" + name
      if unlink(PathBytes.cString(of: entry)) != 0 { remove(entry) }
    }
    rmdir(PathBytes.cString(of: path))
  }

  /// The names in a folder; nil when it cannot be listed.
  private static func names(in folder: String) -> [String]? {
    guard let stream = opendir(PathBytes.cString(of: folder)) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      if name != [0x2E] && name != [0x2E, 0x2E] { names.append(PathBytes.string(of: name)) }
    }
    return names
  }
}
