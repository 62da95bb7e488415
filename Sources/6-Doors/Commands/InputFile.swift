import Foundation
import Support

/// Input files of commands; the path `-` is standard input.
enum InputFile {
  /// Reads the bytes of a file or a pipe.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be read.
  static func bytes(_ path: String) throws -> [UInt8] {
    if path == "-" { return try standardInput() }
    guard let file = fopen(PathBytes.cString(of: path), "r") else { throw unreadable(path, errno) }
    defer { fclose(file) }
    var status = stat()
    var bytes: [UInt8] = []
    if fstat(fileno(file), &status) == 0 { bytes.reserveCapacity(Int(status.st_size)) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    guard ferror(file) == 0 else { throw unreadable(path, errno) }
    return bytes
  }

  /// Reads a text file as UTF-8: UTF-16 with a byte order mark is converted, and the mark is removed.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be read, or is damaged UTF-16.
  static func text(_ path: String) throws -> [UInt8] {
    guard let text = MarkedText.utf8(try bytes(path)) else {
      throw ForgeError.badInput(
        "\(name(of: path)) begins as UTF-16 and is damaged", hint: "save it as UTF-8", after: ": ", code: .malformedFile
      )
    }
    return text
  }

  static func standardInput() throws -> [UInt8] { [UInt8](try FileHandle.standardInput.readToEnd() ?? Data()) }

  /// The display name of an input in messages.
  static func name(of path: String) -> String { path == "-" ? "standard input" : PathBytes.display(path) }

  private static func unreadable(_ path: String, _ code: Int32) -> ForgeError {
    .badInput(
      "cannot read \(PathBytes.display(path)): \(String(cString: strerror(code)))",
      code: .system(code, else: .fileUnreadable))
  }
}
