import Foundation
import Support

/// A temporary folder that is moved into place when it is complete, and deleted otherwise.
final class TemporaryFolder {
  let path: String

  /// - Parameter place: the final path; its parents are created.
  /// - Throws: `ForgeError.badInput` when nothing can be written there.
  init(beside place: String) throws {
    let url = URL(filePath: place).standardizedFileURL
    let parent = url.path(percentEncoded: false).parentFolder
    func failure(_ code: Int32) -> ForgeError {
      .badInput(
        "cannot make the folder '\(place)': \(String(cString: strerror(code)))", code: .system(code, else: .writeFailed)
      )
    }
    do {
      if !FileManager.default.fileExists(atPath: parent) {
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
      }
    } catch {
      throw ForgeError.badInput(
        "cannot make the folder '\(place)': \(systemReason(of: error))", code: .system(error, else: .writeFailed))
    }
    var template = Array("\(parent)/.\(url.lastPathComponent)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw failure(errno) }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    // With the usual permissions, not mkdtemp's.
    let mask = umask(0)
    umask(mask)
    guard chmod(path, 0o777 & ~mask) == 0 else { throw failure(errno) }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Moves the folder into place: atomically if nothing or an empty folder is there; else file by file, replacing files
  /// of the same names.
  ///
  /// - Throws: `ForgeError.tryAgain` when that fails.
  func move(to place: String) throws {
    if rename(path, place) == 0 { return }
    let found = FileManager.default.subpaths(atPath: path) ?? []
    for name in found {
      let (from, to) = ("\(path)/\(name)", "\(place)/\(name)")
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: from, isDirectory: &isFolder)
      if isFolder.boolValue {
        guard mkdir(to, 0o777) == 0 || errno == EEXIST else { throw systemError("write", to) }
      } else {
        guard rename(from, to) == 0 else { throw systemError("write", to) }
      }
    }
  }
}
