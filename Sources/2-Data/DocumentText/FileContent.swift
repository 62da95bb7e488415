/// A file's bytes without a byte order mark, as UTF-8 where the mark or what stands for one tells their encoding.
struct FileContent {
  private(set) var bytes: [UInt8]
  /// Whether the bytes are valid UTF-8 for certain.
  private(set) var isDecoded = false
  /// How many places meant nothing and became U+FFFD.
  private(set) var replacements = 0
  /// Whether this is text at all.
  private(set) var isText = true

  /// Bytes that nothing is known of.
  init(undecoded bytes: [UInt8]) { self.bytes = bytes }

  /// Takes UTF-16 without a mark for what it is when it begins with an XML declaration, or when `encoding`, which is for
  /// text that tells nothing, says so and the bytes are no other text.
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

  /// The text, by the rule of ``decode(_:encoding:)`` where nothing told its encoding.
  func decoded(encoding: TextEncoding?) throws(SkipReason) -> DecodedText {
    isDecoded
      ? DecodedText(bytes: bytes, replacements: replacements) : try Self.decode(bytes[...], encoding: encoding)
  }

  /// Text that does not tell its encoding: UTF-8, also with less than 0.1 % stray bytes, or else in `encoding`.
  ///
  /// Throws `encoding` when there is none, and `binary` when it is one that this cannot be in.
  static func decode(_ bytes: ArraySlice<UInt8>, encoding: TextEncoding?) throws(SkipReason) -> DecodedText {
    let utf8 = UTF8Text(bytes)
    let isOther = utf8.multiByteCharacters < utf8.strays
    if let encoding, !utf8.isValid, isOther || !utf8.isNearlyValid { return try decodeUnmarked(bytes, as: encoding) }
    guard utf8.isValid || utf8.isNearlyValid else { throw .encoding }
    // ISO-2022-JP is ASCII to look at, and its escape sequences are no terminal's.
    if utf8.isValid, utf8.multiByteCharacters == 0, bytes.firstRange(of: [0x1B, 0x24, 0x42]) != nil {
      guard let encoding else { throw .encoding }
      return try decode(bytes, as: encoding)
    }
    return utf8.decoded()
  }

  /// Decodes what has no mark; that it is UTF-16 must show.
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

  /// Control characters that terminals understand, found in manuals and logs.
  private static let backspace: UInt8 = 0x08
  private static let escape: UInt8 = 0x1B

  /// Text has hardly any zero bytes or control characters; bytes above 0x7F may be any encoding's.
  private static func isText(_ bytes: [UInt8]) -> Bool {
    let zeros = bytes.count { $0 == 0 }
    guard zeros == 0 || zeros * 1000 < bytes.count else { return false }
    let sample = bytes.prefix(1 << 16)
    let controls = sample.count { $0 < 0x20 && !isWhitespace($0) && $0 != backspace && $0 != escape }
    // Compressed or encrypted data has about 10 %.
    return controls * 20 <= sample.count
  }
}
