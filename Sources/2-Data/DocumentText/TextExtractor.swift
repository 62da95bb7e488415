/// Text extraction from a file's bytes: HTML, notebooks, JSON Lines and text in any encoding, gzipped or not.
public struct TextExtractor: Sendable {
  /// The max size of a file, unpacked, or of a JSON Lines file's line, because a document must fit in memory a few
  /// times over.
  public static let maximumByteCount = 1 << 30

  /// The encoding of text that is not UTF-8 and declares no other.
  public var encoding: TextEncoding?
  /// The name of the member of a JSON Lines object that holds the text.
  public var textField: String

  public init(encoding: TextEncoding? = nil, textField: String = "text") {
    self.encoding = encoding
    self.textField = textField
  }

  /// A document, or the reason why it is skipped.
  public struct Item: Sendable {
    /// The line of a JSON Lines file, from 1.
    public var line: Int?
    public var result: Result<Text, SkipReason>
  }

  /// A document's text.
  public struct Text: Sendable {
    /// Valid UTF-8, without a byte order mark.
    public var bytes: [UInt8]
    /// How many invalid sequences became U+FFFD.
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
      let content = try FileContent(bytes, encoding: encoding)
      if isJSONLines(content, kind: kind) { return lines(in: content).items }
      return [Item(result: .success(try document(in: content, kind: kind)))]
    } catch {
      return [Item(result: .failure(error))]
    }
  }

  /// The documents in a JSON Lines file or a part of one that begins and ends with whole lines, and how many lines it
  /// has.
  public func lines(in bytes: [UInt8]) -> (items: [Item], lineCount: Int) {
    lines(in: FileContent(undecoded: bytes))
  }

  private func lines(in content: FileContent) -> (items: [Item], lineCount: Int) {
    var items: [Item] = []
    let isUTF8 = content.isDecoded || UTF8Text(content.bytes[...]).isValid && !content.bytes.contains(0x1B)
    let count = JSONLines.read(content.bytes) { number, line in
      items.append(Item(line: number, result: isUTF8 ? text(ofLine: line) : text(ofUndecodedLine: line)))
    }
    // The file's replacements are counted with its first document.
    if content.replacements > 0, let place = items.firstIndex(where: \.isText),
      case .success(var text) = items[place].result
    {
      text.replacements += content.replacements
      items[place].result = .success(text)
    }
    if items.isEmpty { items.append(Item(result: .failure(.empty))) }
    // A file of other objects is reported once.
    let isForeign =
      items.count > 1 && items.allSatisfy { if case .failure(.noText) = $0.result { true } else { false } }
    if isForeign { items = [Item(result: .failure(.noText))] }
    return (items, count)
  }

  /// Parses a line, whose encoding is detected for that line alone.
  private func text(ofUndecodedLine line: UnsafeBufferPointer<UInt8>) -> Result<Text, SkipReason> {
    do throws(SkipReason) {
      let decoded = try FileContent.decode(Array(line)[...], encoding: encoding)
      let result = decoded.bytes.withUnsafeBufferPointer { text(ofLine: $0) }
      return result.map { Text(bytes: $0.bytes, replacements: $0.replacements + decoded.replacements) }
    } catch {
      return .failure(error)
    }
  }

  private func text(ofLine line: UnsafeBufferPointer<UInt8>) -> Result<Text, SkipReason> {
    switch JSONLines.read(line, field: textField) {
    case .text(let text, let replacements): Self.checked(Text(bytes: text, replacements: replacements))
    case .withoutText: .failure(.noText)
    case .damaged: .failure(.damaged)
    }
  }

  private func document(in content: FileContent, kind: FileKind) throws(SkipReason) -> Text {
    guard content.isText else { throw .binary }
    switch kind {
    case .html, .xhtml: return try page(content, isXHTML: kind == .xhtml)
    case .notebook: return try notebook(content)
    case .unknown where HTMLSignature.matches(content.bytes): return try page(content, isXHTML: false)
    case .unknown where Notebook.isNotebook(content.bytes): return try notebook(content)
    default: return try plainText(content)
    }
  }

  private func page(_ content: FileContent, isXHTML: Bool) throws(SkipReason) -> Text {
    let text: DecodedText
    do throws(TextEncoding.Failure) {
      text = try HTMLText.extract(
        from: content.bytes, isXHTML: isXHTML, isDecoded: content.isDecoded, fallback: encoding)
    } catch {
      throw .encoding
    }
    return try Self.checked(Text(bytes: text.bytes, replacements: text.replacements + content.replacements)).get()
  }

  private func notebook(_ content: FileContent) throws(SkipReason) -> Text {
    let decoded = try content.decoded(encoding: encoding)
    let isObject = decoded.bytes.first { !isWhitespace($0) } == UInt8(ascii: "{")
    guard isObject, Notebook.isNotebook(decoded.bytes) || JSONScanner.memberNames(of: decoded.bytes) == nil else {
      return try plainText(content)
    }
    guard let text = Notebook.text(of: decoded.bytes) else { throw .damaged }
    return try Self.checked(Text(bytes: text.bytes, replacements: text.replacements + decoded.replacements)).get()
  }

  private func plainText(_ content: FileContent) throws(SkipReason) -> Text {
    let decoded = try content.decoded(encoding: encoding)
    return try Self.checked(Text(bytes: decoded.bytes, replacements: decoded.replacements)).get()
  }

  /// Strips leading byte order marks; a text of white space alone is skipped as empty.
  private static func checked(_ text: Text) -> Result<Text, SkipReason> {
    var text = text
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    while text.bytes.starts(with: mark) { text.bytes.removeFirst(mark.count) }
    return text.bytes.contains { !isWhitespace($0) } ? .success(text) : .failure(.empty)
  }

  /// Whether a file of this name, in lower case, is JSON Lines by its extension.
  public static func isJSONLines(name: String) -> Bool { FileKind(name: name) == .jsonLines }

  private func isJSONLines(_ content: FileContent, kind: FileKind) -> Bool {
    switch kind {
    case .jsonLines: content.isText
    case .text, .unknown:
      JSONLines.holdsDocuments(content.bytes, field: textField) && Self.hasSeveralLines(content.bytes)
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
}

extension TextExtractor.Item {
  fileprivate var isText: Bool { if case .success = result { true } else { false } }
}
