/// A character encoding of the Encoding standard (https://encoding.spec.whatwg.org), found by any of its labels, as
/// browsers do: `gb2312` is GBK, `iso-8859-1` is windows-1252.
public struct TextEncoding: Hashable, Sendable, CustomStringConvertible {
  /// The standard's name, in lower case.
  let name: String

  public var description: String { name }

  static let utf8 = TextEncoding(name: "utf-8")
  static let utf16LittleEndian = TextEncoding(name: "utf-16le")
  static let utf16BigEndian = TextEncoding(name: "utf-16be")
  /// Not in the standard, but detected by its byte order mark.
  static let utf32LittleEndian = TextEncoding(name: "utf-32le")
  static let utf32BigEndian = TextEncoding(name: "utf-32be")
  static let windows1252 = TextEncoding(name: "windows-1252")

  var isUTF16: Bool { self == .utf16LittleEndian || self == .utf16BigEndian }

  /// Whether this stands for encodings that are a security risk to decode (ISO-2022-KR, HZ).
  var isReplacement: Bool { name == "replacement" }

  private init(name: String) { self.name = name }

  /// The encoding that a label names, in any case and with white space around it; nil when there is none.
  public init?(label: String) {
    let trimmed = label.drop { $0.isASCII && $0.isWhitespace }.reversed().drop { $0.isASCII && $0.isWhitespace }
    guard let name = Self.names[String(trimmed.reversed()).lowercased()] else { return nil }
    self.init(name: name)
  }

  private static let names: [String: String] = {
    var names: [String: String] = [:]
    var name = ""
    for word in EncodingLabels.table.split(whereSeparator: \.isWhitespace) {
      if word.hasSuffix(":") {
        name = word.dropLast().lowercased()
      } else {
        names[String(word)] = name
      }
    }
    return names
  }()
}
