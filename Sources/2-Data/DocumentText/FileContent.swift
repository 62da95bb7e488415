/// A file's bytes without a byte order mark, decoded to UTF-8 where a mark, or what replaces one, determines the
/// encoding.
struct FileContent {
  private(set) var bytes: [UInt8]
  /// Whether the bytes have been decoded, and so are valid UTF-8.
  private(set) var isDecoded = false
  /// How many invalid sequences became U+FFFD.
  private(set) var replacements = 0
  /// Whether the bytes are text rather than binary data.
  private(set) var isText = true

  /// Bytes as they are, in an undetermined encoding.
  init(undecoded bytes: [UInt8]) { self.bytes = bytes }

  /// Detects a byte order mark or an XML declaration in UTF-16. Bytes that would be binary are decoded as `encoding`,
  /// the encoding of undeclared text, when that is UTF-16.
  init(_ bytes: [UInt8], encoding: TextEncoding?) throws(SkipReason) {
    self.bytes = bytes
    if let mark = EncodingDetection.mark(of: bytes) {
      if mark.encoding == .utf8 { isText = Self.isText(bytes) }
      set(try Self.decode(bytes[mark.length...], as: mark.encoding))
    } else if let encoding = EncodingDetection.utf16Declaration(of: bytes) {
      set(try Self.decode(bytes[...], as: encoding))
    } else if !Self.isText(bytes) {
      if let encoding, encoding.isUTF16 {
        set(try Self.decodeUnmarked(bytes[...], as: encoding))
      } else {
        isText = false
      }
    }
  }

  private mutating func set(_ text: DecodedText) {
    bytes = text.bytes
    replacements = text.replacements
    isDecoded = true
  }

  /// The decoded text; by the rule of ``decode(_:encoding:)`` where its encoding is undetermined.
  func decoded(encoding: TextEncoding?) throws(SkipReason) -> DecodedText {
    isDecoded
      ? DecodedText(bytes: bytes, replacements: replacements) : try Self.decode(bytes[...], encoding: encoding)
  }

  /// Decodes text of undeclared encoding: as UTF-8 when less than 0.1 % of it is invalid (and, given `encoding`, no
  /// more sequences are invalid than multi-byte characters are valid), else as `encoding`.
  ///
  /// Throws `encoding` when that is nil or has no decoder here, and `binary` when it is UTF-16 and the bytes are not.
  static func decode(_ bytes: ArraySlice<UInt8>, encoding: TextEncoding?) throws(SkipReason) -> DecodedText {
    let utf8 = UTF8Text(bytes)
    let isOther = utf8.multiByteCharacters < utf8.strays
    if let encoding, !utf8.isValid, isOther || !utf8.isNearlyValid { return try decodeUnmarked(bytes, as: encoding) }
    guard utf8.isValid || utf8.isNearlyValid else { throw .encoding }
    // ISO-2022-JP has ASCII bytes only; its escape sequences are none of a terminal's.
    if utf8.isValid, utf8.multiByteCharacters == 0, bytes.firstRange(of: [0x1B, 0x24, 0x42]) != nil {
      guard let encoding else { throw .encoding }
      return try decode(bytes, as: encoding)
    }
    return utf8.decoded()
  }

  /// Decodes text without a byte order mark; UTF-16 must decode without errors and zeros.
  private static func decodeUnmarked(
    _ bytes: ArraySlice<UInt8>, as encoding: TextEncoding
  ) throws(SkipReason) -> DecodedText {
    let text = try decode(bytes, as: encoding)
    // Half a character may be left at the end.
    guard !encoding.isUTF16 || text.replacements <= bytes.count % 2 && !text.bytes.contains(0) else { throw .binary }
    return text
  }

  private static func decode(_ bytes: ArraySlice<UInt8>, as encoding: TextEncoding) throws(SkipReason) -> DecodedText {
    do throws(TextEncoding.Failure) {
      return try encoding.decode(bytes)
    } catch {
      throw .encoding
    }
  }

  /// Control characters for terminals, found in manuals and logs.
  private static let backspace: UInt8 = 0x08
  private static let escape: UInt8 = 0x1B

  /// A heuristic for text: under 0.1 % zero bytes, and at most 5 % control characters in the first 64 KiB. Bytes above
  /// 0x7F are accepted, in any encoding.
  private static func isText(_ bytes: [UInt8]) -> Bool {
    let zeros = bytes.count { $0 == 0 }
    guard zeros == 0 || zeros * 1000 < bytes.count else { return false }
    let sample = bytes.prefix(1 << 16)
    let controls = sample.count { $0 < 0x20 && !isWhitespace($0) && $0 != backspace && $0 != escape }
    // Compressed or encrypted data has about 10 %.
    return controls * 20 <= sample.count
  }
}
