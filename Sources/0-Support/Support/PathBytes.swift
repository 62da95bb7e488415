import Glibc

/// Lossless strings for file system paths, whose bytes need not be UTF-8.
///
/// Every byte that is not valid UTF-8 is escaped as one private-use character, from U+10FF80 to U+10FFFF (as Python's
/// `surrogateescape` does with other characters).
public enum PathBytes {
  private static let base: UInt32 = 0x10FF00

  /// Encodes the bytes of a path, or of a command's argument, as a string.
  public static func string(of bytes: some Collection<UInt8>) -> String {
    let text = String(decoding: bytes, as: UTF8.self)
    if text.utf8.elementsEqual(bytes), !text.unicodeScalars.contains(where: isEscape) { return text }
    var result = String.UnicodeScalarView()
    var rest = Array(bytes)[...]
    while let byte = rest.first {
      let length = (1...4).last { length in
        length <= rest.count && String(validating: rest.prefix(length), as: UTF8.self)?.unicodeScalars.count == 1
      }
      if let length, let scalar = String(decoding: rest.prefix(length), as: UTF8.self).unicodeScalars.first,
        !isEscape(scalar)
      {
        result.append(scalar)
        rest = rest.dropFirst(length)
      } else {
        if let scalar = Unicode.Scalar(base + UInt32(byte)) { result.append(scalar) }
        rest = rest.dropFirst()
      }
    }
    return String(result)
  }

  /// Decodes a string to the bytes of a path.
  public static func bytes(of path: String) -> [UInt8] {
    guard path.unicodeScalars.contains(where: isEscape) else { return Array(path.utf8) }
    return path.unicodeScalars.flatMap { scalar in
      isEscape(scalar) ? [UInt8(truncatingIfNeeded: scalar.value)] : Array(String(scalar).utf8)
    }
  }

  /// The bytes with a NUL terminator, for system calls.
  public static func cString(of path: String) -> [CChar] { bytes(of: path).map(CChar.init(bitPattern:)) + [0] }

  /// Creates a folder and its missing parents.
  ///
  /// - Returns: whether it exists now; `errno` has the reason if not.
  public static func makeFolder(_ path: String) -> Bool {
    var status = stat()
    if stat(cString(of: path), &status) == 0 {
      errno = ENOTDIR
      return status.st_mode & S_IFMT == S_IFDIR
    }
    let parent = path.parentFolder
    guard parent == path || makeFolder(parent) else { return false }
    return mkdir(cString(of: path), 0o777) == 0 || errno == EEXIST
  }

  /// A path for display: bytes that are not UTF-8 become U+FFFD.
  public static func display(_ path: String) -> String { String(decoding: bytes(of: path), as: UTF8.self) }

  /// Whether a path has bytes that are not UTF-8.
  public static func isEscaped(_ path: String) -> Bool { path.unicodeScalars.contains(where: isEscape) }

  /// Throws `badInput` when a path is not UTF-8.
  public static func requireUTF8(_ path: String, for use: String) throws {
    guard !isEscaped(path) else {
      throw ForgeError.badInput(
        "the path '\(display(path))' is not UTF-8, which \(use) needs", hint: "rename it", after: ": ",
        code: .invalidArgument)
    }
  }

  /// The command-line arguments of this process, without the program's name.
  public static var arguments: [String] {
    CommandLine.unsafeArgv.withMemoryRebound(
      to: UnsafeMutablePointer<CChar>?.self, capacity: Int(CommandLine.argc)
    ) { values in
      (1..<max(1, Int(CommandLine.argc))).map { index in
        guard let argument = values[index] else { return "" }
        return string(
          of: Array(UnsafeBufferPointer(start: argument, count: length(argument))).map(UInt8.init(bitPattern:)))
      }
    }
  }

  private static func length(_ string: UnsafePointer<CChar>) -> Int {
    var length = 0
    while string[length] != 0 { length += 1 }
    return length
  }

  private static func isEscape(_ scalar: Unicode.Scalar) -> Bool { scalar.value >= base && scalar.value <= base + 0xFF }
}
