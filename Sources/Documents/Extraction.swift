import Diagnostics
import Glibc

/// A document as training sees it.
public struct Document: Sendable {
  public let id: DocumentID
  /// The file it was read from: an input and the path below it.
  public let path: String
  /// The text, which need not be valid UTF-8.
  public let bytes: [UInt8]
}

/// Why a file gives no document.
public enum SkipReason: String, Sendable, CaseIterable, Codable, CodingKeyRepresentable {
  /// Neither text nor a format that text can be taken from.
  case binary
  /// Nothing but white space.
  case empty
  /// A broken link, or no permission.
  case unreadable
  /// A gzip or HTML file that cannot be decoded.
  case damaged
  /// More than ``Extraction/maximumByteCount`` bytes.
  case tooLarge = "too_large"
}

/// Takes the text out of a file.
enum Extraction {
  /// The file gives no document.
  struct Skipped: Error {
    var reason: SkipReason
  }

  /// A document must fit in memory a few times over, and in libxml2's `Int32`.
  static let maximumByteCount = 1 << 30

  /// Control characters that terminals understand, found in manuals and logs.
  private static let backspace: UInt8 = 0x08
  private static let escape: UInt8 = 0x1B

  private static let htmlExtensions: Set<String> = ["html", "htm", "xhtml"]

  static func document(at path: RawPath) throws(Skipped) -> Document {
    let bytes = try text(of: contents(of: path), name: String(decoding: path.name, as: UTF8.self).lowercased())
    guard bytes.contains(where: { !isWhitespace($0) }) else { throw Skipped(reason: .empty) }
    return Document(id: DocumentID(of: bytes), path: path.string, bytes: bytes)
  }

  /// The text in a file's bytes; the name's endings, in lower case, say what they are.
  static func text(of bytes: [UInt8], name: String) throws(Skipped) -> [UInt8] {
    var bytes = bytes
    var name = name[...]
    if name.hasSuffix(".gz"), bytes.starts(with: Gzip.magic) {
      bytes = try decompress(bytes)
      name = name.dropLast(3)
    }
    guard isText(bytes) else { throw Skipped(reason: .binary) }
    guard isHTML(bytes, name: name) else { return bytes }
    guard let text = HTMLText.extract(from: bytes) else { throw Skipped(reason: .damaged) }
    return text
  }

  private static func contents(of path: RawPath) throws(Skipped) -> [UInt8] {
    let descriptor = open(path.cString, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Skipped(reason: .unreadable) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Skipped(reason: .unreadable) }
    guard status.st_size <= maximumByteCount else { throw Skipped(reason: .tooLarge) }
    var failed = false
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
      while count < buffer.count {
        let result = read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
        if result < 0 && errno == EINTR { continue }
        failed = result < 0
        if result <= 0 { break }
        count += result
      }
    }
    guard !failed else { throw Skipped(reason: .unreadable) }
    return bytes
  }

  private static func decompress(_ bytes: [UInt8]) throws(Skipped) -> [UInt8] {
    do {
      return try Gzip.decompress(bytes, maximumByteCount: maximumByteCount)
    } catch {
      switch error {
      case .tooLarge: throw Skipped(reason: .tooLarge)
      case .damaged: throw Skipped(reason: .damaged)
      }
    }
  }

  /// Text has no zero bytes and hardly any control characters; bytes above 0x7F may be any encoding's.
  private static func isText(_ bytes: [UInt8]) -> Bool {
    guard !bytes.contains(0) else { return false }
    let sample = bytes.prefix(1 << 16)
    let controls = sample.count { $0 < 0x20 && !isWhitespace($0) && $0 != backspace && $0 != escape }
    // Compressed or encrypted data has about 10 %.
    return controls * 20 <= sample.count
  }

  private static func isHTML(_ bytes: [UInt8], name: Substring) -> Bool {
    if let dot = name.lastIndex(of: ".") { return htmlExtensions.contains(String(name[name.index(after: dot)...])) }
    let start = bytes.prefix(256).drop(while: isWhitespace).prefix(14)
    let lowercase = String(decoding: start, as: UTF8.self).lowercased()
    return lowercase.hasPrefix("<!doctype html") || lowercase.hasPrefix("<html")
  }
}

/// ASCII white space, as HTML defines it, and the vertical tab.
func isWhitespace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
