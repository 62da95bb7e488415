import Diagnostics
import Foundation

/// Hands the documents found at `paths`, files or folders, to `body` one by one, in the order of their names.
///
/// - Throws: `ForgeError.badInput` when a path does not exist or a file cannot be read; what `body` throws.
func documents(at paths: [String], _ body: ([UInt8]) throws -> Void) throws {
  for path in paths {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw ForgeError.badInput("there is no file or folder \(path)")
    }
    guard isFolder.boolValue else {
      try body(TokenizerCommand.readFile(path))
      continue
    }
    let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    for name in names.sorted() {
      let file = path + "/" + name
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue else { continue }
      try body(TokenizerCommand.readFile(file))
    }
  }
}
