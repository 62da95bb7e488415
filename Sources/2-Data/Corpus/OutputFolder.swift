import Foundation
import Support

/// An output folder that is written under a temporary name beside its place, and moved there when complete; it is
/// removed when released before that.
final class OutputFolder {
  let path: String
  /// The temporary folder to write to.
  let partialPath: String

  /// Throws `badInput` when what is at `path` must not be replaced, or `path` cannot be written.
  init(path: String, overwrite: Bool) throws {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let name = PathBytes.display(path)
    if let status = RawPath(self.path).status() {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw ForgeError.badInput("'\(name)' exists and is not a folder", code: .fileExists)
      }
      guard overwrite || Self.names(in: self.path) == [] else {
        throw ForgeError.badInput(
          "'\(name)' is not empty", hint: "choose another folder, or say --overwrite to replace it", code: .fileExists)
      }
    }
    let candidate = TemporaryName.beside(self.path)
    guard PathBytes.makeFolder(candidate.parentFolder), mkdir(PathBytes.cString(of: candidate), 0o777) == 0 else {
      throw ForgeError.badInput(
        "cannot write '\(name)': \(String(cString: strerror(errno)))", code: .system(errno, else: .writeFailed))
    }
    partialPath = candidate
  }

  deinit { Self.remove(partialPath) }

  /// Moves the files to their place, replacing files of the same names. Throws `tryAgain` when that fails, perhaps
  /// after some files were moved.
  func commit() throws {
    // Atomic when there is no folder, or an empty one.
    if rename(PathBytes.cString(of: partialPath), PathBytes.cString(of: path)) == 0 { return }
    // The folders of an earlier dataset are replaced as a whole.
    let isDataset = RawPath(path + "/" + PreparedDataset.fileName).status() != nil
    try Self.move(partialPath, to: path, replacingFolders: isDataset)
  }

  /// Moves a folder's contents into another folder; subfolders of the same names are replaced, or merged.
  private static func move(_ source: String, to target: String, replacingFolders: Bool) throws {
    for name in names(in: source) ?? [] {
      let (from, to) = (source + "/" + name, target + "/" + name)
      if rename(PathBytes.cString(of: from), PathBytes.cString(of: to)) == 0 { continue }
      guard errno == ENOTEMPTY || errno == EEXIST else {
        throw ForgeError.tryAgain(
          "moving '\(PathBytes.display(name))' to '\(PathBytes.display(target))' failed: "
            + String(cString: strerror(errno)), code: .system(errno, else: .writeFailed))
      }
      if replacingFolders {
        remove(to)
        if rename(PathBytes.cString(of: from), PathBytes.cString(of: to)) == 0 { continue }
      }
      try move(from, to: to, replacingFolders: replacingFolders)
    }
  }

  /// Removes a folder and its contents.
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
