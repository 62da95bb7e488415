/// Takes the text out of a file's bytes: HTML, notebooks, JSON Lines and text in any encoding, gzipped or not.
public struct TextExtractor: Sendable {
  /// A document must fit in memory a few times over.
  public static let maximumByteCount = 1 << 30

  /// The encoding of text that is neither UTF-8 nor names another.
  public var encoding: TextEncoding?
  /// The name of the member of a JSON Lines object that holds the text.
  public var textField: String

  public init(encoding: TextEncoding? = nil, textField: String = "text") {
    self.encoding = encoding
    self.textField = textField
  }

  /// A document, or why there is none.
  public struct Item: Sendable {
    /// The line of a JSON Lines file, from 1.
    public var line: Int?
    public var result: Result<Text, SkipReason>
  }

  /// A document's text.
  public struct Text: Sendable {
    /// Valid UTF-8, without a byte order mark.
    public var bytes: [UInt8]
    /// How many bytes or sequences meant nothing and became U+FFFD.
    public var replacements: Int
  }

  /// The documents in a file; `name` is its name in lower case.
  public func documents(in bytes: [UInt8], name: String) -> [Item] {
    do throws(SkipReason) {
      var bytes = bytes
      var name = name
      if bytes.starts(with: Gzip.magic) {
        bytes = try Self.decompress(bytes)
        if name.hasSuffix(".gz") { name.removeLast(3) }
      }
      let kind = FileKind(name: name)
      if Self.isJSONLines(bytes, kind: kind, field: textField) { return lines(in: bytes).items }
      return [Item(result: .success(try document(in: bytes, kind: kind)))]
    } catch {
      return [Item(result: .failure(error))]
    }
  }

  /// The documents in a JSON Lines file or a part of one that begins and ends with whole lines, and how many lines it
  /// has.
  public func lines(in bytes: [UInt8]) -> (items: [Item], lineCount: Int) {
    var items: [Item] = []
    let bytes = EncodingDetection.mark(of: bytes)?.encoding == .utf8 ? Array(bytes.dropFirst(3)) : bytes
    let decoded = UTF8Text(bytes[...]).decoded()
    var hasTexts = false
    let count = JSONLines.read(decoded.bytes, field: textField) { number, line in
      switch line {
      case .text(let text):
        hasTexts = true
        items.append(Item(line: number, result: Self.checked(Text(bytes: text, replacements: 0))))
      case .withoutText: items.append(Item(line: number, result: .failure(.noText)))
      case .damaged: items.append(Item(line: number, result: .failure(.damaged)))
      }
    }
    // Where the damage is does not matter more than that there is some.
    if hasTexts, decoded.replacements > 0, let place = items.firstIndex(where: \.isText),
      case .success(var text) = items[place].result
    {
      text.replacements = decoded.replacements
      items[place].result = .success(text)
    }
    if items.isEmpty { items.append(Item(result: .failure(.empty))) }
    // A file of something else is told once.
    let isForeign =
      items.count > 1 && items.allSatisfy { if case .failure(.noText) = $0.result { true } else { false } }
    if isForeign { items = [Item(result: .failure(.noText))] }
    return (items, count)
  }

  private func document(in bytes: [UInt8], kind: FileKind) throws(SkipReason) -> Text {
    let mark = EncodingDetection.mark(of: bytes)
    guard mark.map({ $0.encoding != .utf8 }) ?? false || Self.isText(bytes) else { throw .binary }
    let content = try mark.map { mark throws(SkipReason) in try Self.decode(bytes[mark.length...], mark.encoding).bytes
    }
    let start = content ?? bytes
    switch kind {
    case .html, .xhtml: return try page(bytes, isXHTML: kind == .xhtml)
    case .notebook where Notebook.isNotebook(start): return try notebook(start)
    case .unknown where HTMLSignature.matches(start): return try page(bytes, isXHTML: false)
    case .unknown where Notebook.isNotebook(start): return try notebook(start)
    default: return try plainText(bytes, mark: mark)
    }
  }

  private func page(_ bytes: [UInt8], isXHTML: Bool) throws(SkipReason) -> Text {
    do {
      let text = try HTMLText.extract(from: bytes, isXHTML: isXHTML, fallback: encoding)
      return try Self.checked(Text(bytes: text.bytes, replacements: text.replacements)).get()
    } catch is TextEncoding.Failure {
      throw .encoding
    } catch let reason as SkipReason {
      throw reason
    } catch {
      throw .damaged
    }
  }

  private func notebook(_ bytes: [UInt8]) throws(SkipReason) -> Text {
    let decoded = UTF8Text(bytes[...]).decoded()
    guard let text = Notebook.text(of: decoded.bytes) else { throw .damaged }
    return try Self.checked(Text(bytes: text, replacements: decoded.replacements)).get()
  }

  private func plainText(
    _ bytes: [UInt8], mark: (encoding: TextEncoding, length: Int)?
  ) throws(SkipReason) -> Text {
    let content = bytes[(mark?.length ?? 0)...]
    var decoded: DecodedText
    if let mark, mark.encoding != .utf8 {
      decoded = try Self.decode(content, mark.encoding)
    } else {
      let utf8 = UTF8Text(content)
      let isOther = mark == nil && utf8.multiByteCharacters < utf8.strays
      if let encoding, !utf8.isValid, isOther || !utf8.isNearlyValid {
        decoded = try Self.decode(content, encoding)
      } else {
        guard utf8.isValid || utf8.isNearlyValid || mark != nil else { throw .encoding }
        // ISO-2022-JP is ASCII to look at, and its escape sequences are no terminal's.
        let isJapanese = content.firstRange(of: [0x1B, 0x24, 0x42]) != nil && utf8.isValid
        if isJapanese, utf8.multiByteCharacters == 0 {
          guard let encoding else { throw .encoding }
          decoded = try Self.decode(content, encoding)
        } else {
          decoded = utf8.decoded()
        }
      }
    }
    if decoded.bytes.starts(with: [0xEF, 0xBB, 0xBF]) { decoded.bytes.removeFirst(3) }
    return try Self.checked(Text(bytes: decoded.bytes, replacements: decoded.replacements)).get()
  }

  private static func decode(_ bytes: ArraySlice<UInt8>, _ encoding: TextEncoding) throws(SkipReason) -> DecodedText {
    do throws(TextEncoding.Failure) {
      return try encoding.decode(bytes)
    } catch {
      throw .encoding
    }
  }

  /// A text with something in it.
  private static func checked(_ text: Text) -> Result<Text, SkipReason> {
    text.bytes.contains { !isWhitespace($0) } ? .success(text) : .failure(.empty)
  }

  /// Whether a file of this name, in lower case, is of JSON Lines.
  public static func isJSONLines(name: String) -> Bool { FileKind(name: name) == .jsonLines }

  private static func isJSONLines(_ bytes: [UInt8], kind: FileKind, field: String) -> Bool {
    switch kind {
    case .jsonLines: EncodingDetection.mark(of: bytes).map { $0.encoding == .utf8 } ?? isText(bytes)
    case .text, .unknown: JSONLines.holdsDocuments(bytes, field: field) && hasSeveralLines(bytes)
    case .html, .xhtml, .notebook: false
    }
  }

  private static func hasSeveralLines(_ bytes: [UInt8]) -> Bool {
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return false }
    return bytes[end...].first { !isWhitespace($0) } == UInt8(ascii: "{")
  }

  private static func decompress(_ bytes: [UInt8]) throws(SkipReason) -> [UInt8] {
    do throws(Gzip.Failure) {
      return try Gzip.decompress(bytes, maximumByteCount: maximumByteCount)
    } catch {
      switch error {
      case .tooLarge: throw .tooLarge
      case .damaged: throw .damaged
      }
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

extension TextExtractor.Item {
  fileprivate var isText: Bool { if case .success = result { true } else { false } }
}

/// How HTML begins.
enum HTMLSignature {
  /// Whether bytes begin as a page does, behind a byte order mark, white space, comments and an XML declaration, and are
  /// not the source of a program that writes one.
  static func matches(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBufferPointer { bytes in
      let scanner = MarkupScanner(bytes: bytes)
      var index = scanner.matches("\u{FEFF}", at: 0) ? 3 : 0
      while index < bytes.count {
        if isWhitespace(bytes[index]) {
          index += 1
        } else if scanner.matches("<!--", at: index) {
          index = scanner.commentEnd(from: index + 4)
        } else if scanner.matches("<?xml", at: index) {
          index = min(scanner.next(0x3E, from: index) + 1, bytes.count)
        } else {
          break
        }
      }
      guard begins(scanner, at: index) else { return false }
      return !isProgram(bytes)
    }
  }

  private static func begins(_ scanner: MarkupScanner, at index: Int) -> Bool {
    if scanner.matches("<!doctype", at: index) {
      var name = index + 9
      while name < scanner.bytes.count, scanner.isSpace(name) { name += 1 }
      return scanner.matches("html", at: name)
    }
    let names: [StaticString] = ["<html", "<head", "<body", "<title"]
    return names.contains { tag in
      let end = index + tag.utf8CodeUnitCount
      return scanner.matches(tag, at: index) && end < scanner.bytes.count
        && (scanner.isSpace(end) || scanner.bytes[end] == 0x3E)
    }
  }

  /// Whether there is code of PHP, ASP or JSP in it.
  private static func isProgram(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var index = 0
    let scanner = MarkupScanner(bytes: bytes)
    while index < bytes.count {
      index = scanner.next(0x3C, from: index)
      if scanner.matches("<?php", at: index) || scanner.matches("<?=", at: index) || scanner.matches("<%", at: index) {
        return true
      }
      index += 1
    }
    return false
  }
}
