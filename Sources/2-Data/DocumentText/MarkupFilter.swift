/// A filter of a page's markup, so that parsing it takes time and memory in proportion to its length. It leaves out
/// scripts, styles, comments and attributes that do not affect the text, and limits nesting to the depth of a browser's
/// tree.
struct MarkupFilter {
  /// The max nesting of elements, as in browsers; the tags of deeper elements are left out and their contents kept.
  static let maximumDepth = 512

  /// The replacement of a block's tag that is left out; rendered as the start of a line.
  static let blockMark = "<wbr type=\"block\">"

  private let scanner: MarkupScanner
  private let isXHTML: Bool
  private let keepsFormatting: Bool
  private var open = OpenTags()
  private var output: [UInt8] = []
  /// How many start tags were left out whose end tags are to be left out too, by name.
  private var omitted: [TagName: Int] = [:]
  private var seenOnce: Set<TagName> = []
  private var hasFrames = false
  /// Whether no `noscript` end tag follows any more.
  private var isNoscriptOpen = false

  private static let emptyComment = Array("<!---->".utf8)
  private static let names = (
    script: TagName("script"), noframes: TagName("noframes"), noscript: TagName("noscript"),
    frameset: TagName("frameset"), plaintext: TagName("plaintext"), wbr: TagName("wbr"), select: TagName("select"),
    body: TagName("body"), title: TagName("title")
  )

  /// Filters a page in UTF-8. XHTML may close any element within its start tag and has CDATA sections.
  static func filter(_ html: [UInt8], isXHTML: Bool) -> [UInt8] {
    html.withUnsafeBufferPointer { bytes in
      var filter = MarkupFilter(bytes, isXHTML: isXHTML, keepsFormatting: true)
      if filter.run() { return filter.output }
      // The parser would reopen too many formatting elements, which hardly affect the text.
      filter = MarkupFilter(bytes, isXHTML: isXHTML, keepsFormatting: false)
      _ = filter.run()
      return filter.output
    }
  }

  private init(_ bytes: UnsafeBufferPointer<UInt8>, isXHTML: Bool, keepsFormatting: Bool) {
    scanner = MarkupScanner(bytes: bytes)
    self.isXHTML = isXHTML
    self.keepsFormatting = keepsFormatting
    output.reserveCapacity(bytes.count + 64)
  }

  /// Returns false when reopening formatting elements costs too much.
  private mutating func run() -> Bool {
    let bytes = scanner.bytes
    let budget = 8192 + bytes.count / 4
    var index = 0
    while index < bytes.count {
      let end = scanner.next(0x3C, from: index)
      if end > index {
        open.reopenFormatting()
        output.appendReferences(of: UnsafeBufferPointer(rebasing: bytes[index..<end]))
      }
      guard end < bytes.count else { break }
      index = markup(at: end)
      if keepsFormatting, open.reopenedCount > budget { return false }
    }
    return true
  }

  /// Handles what begins with `<`; returns its end.
  private mutating func markup(at start: Int) -> Int {
    let bytes = scanner.bytes
    if scanner.isLetter(start + 1) { return startTag(at: start) }
    guard start + 1 < bytes.count else {
      output.append(0x3C)
      return start + 1
    }
    switch bytes[start + 1] {
    case UInt8(ascii: "/"):
      if scanner.isLetter(start + 2) { return endTag(at: start) }
      guard start + 2 < bytes.count else { break }
    case UInt8(ascii: "!"):
      if scanner.matches("<!--", at: start) {
        leaveOut()
        return scanner.commentEnd(from: start + 4)
      }
      if scanner.matches("<!doctype", at: start) {
        let end = min(scanner.next(0x3E, from: start) + 1, bytes.count)
        output.append(contentsOf: bytes[start..<end])
        return end
      }
      if scanner.matches("<![cdata[", at: start), isXHTML || open.isForeign { return cdata(at: start) }
    case UInt8(ascii: "?"): break
    default:
      output.append(0x3C)
      return start + 1
    }
    guard bytes[start + 1] != UInt8(ascii: "/") || start + 2 < bytes.count else {
      output.append(contentsOf: bytes[start...])
      return bytes.count
    }
    // A bogus comment.
    leaveOut()
    return min(scanner.next(0x3E, from: start) + 1, bytes.count)
  }

  /// Writes the text of a CDATA section; returns the section's end.
  private mutating func cdata(at start: Int) -> Int {
    let bytes = scanner.bytes
    var index = start + 9
    while index < bytes.count, !scanner.matches("]]>", at: index) {
      switch bytes[index] {
      case 0x3C: output += Array("&lt;".utf8)
      case 0x26: output += Array("&amp;".utf8)
      case let byte: output.append(byte)
      }
      index += 1
    }
    return min(index + 3, bytes.count)
  }

  private mutating func startTag(at start: Int) -> Int {
    let bytes = scanner.bytes
    let nameRange = start + 1..<scanner.nameEnd(from: start + 1)
    let name = TagName(UnsafeBufferPointer(rebasing: bytes[nameRange]))
    let traits = TagName.traits[name] ?? []
    let place = output.count
    let standIn = traits.contains(.standIn) && !open.isForeign ? StandInElement.byName[name] : nil
    if let standIn {
      output += standIn.startTag
    } else {
      output.append(contentsOf: bytes[start..<nameRange.upperBound])
    }
    var index = nameRange.upperBound
    var kept = TagAttributes()
    if name != Self.names.wbr {
      while let attribute = scanner.attribute(at: &index) { kept.append(attribute, of: scanner, to: &output) }
    } else {
      while scanner.attribute(at: &index) != nil {}
    }
    // A tag without an end is dropped.
    guard index < bytes.count else {
      output.removeSubrange(place...)
      return bytes.count
    }
    let isSelfClosing = bytes[index - 1] == UInt8(ascii: "/") && !kept.endsUnquoted
    index += 1

    open.prepare(for: name, traits)
    if open.isForeign {
      output += Array((isSelfClosing ? "/>" : ">").utf8)
      if !isSelfClosing { open.push(name, traits.subtracting(.formatting)) }
      if !isSelfClosing, name == Self.names.script { return copyText(of: nameRange, from: index) }
      return index
    }
    if isOmitted(name, traits) {
      output.removeSubrange(place...)
      leaveOut()
      return name == Self.names.noscript ? noscriptEnd(nameRange, from: index) : index
    }
    if traits.contains(.void) {
      output.append(0x3E)
      return index
    }
    open.reopenFormatting()
    // The parser ignores these.
    let isIgnored = open.isIgnored(name, traits)
    guard open.depth < Self.maximumDepth else {
      output.removeSubrange(place...)
      if isSelfClosing, isXHTML { return index }
      return omit(nameRange, name, traits, index)
    }
    output.append(0x3E)
    if isSelfClosing, isXHTML {
      appendEndTag(nameRange, of: standIn)
      return index
    }
    if name == Self.names.plaintext {
      output.append(contentsOf: bytes[index...])
      return bytes.count
    }
    if traits.contains(.shownText) || traits.contains(.hiddenText) {
      // Within a `select` the parser ignores these tags, but for scripts.
      if open.isOpen(Self.names.select), name != Self.names.script { return index }
      if traits.contains(.shownText) { return copyText(of: nameRange, from: index) }
      let end = textEnd(of: nameRange, from: index)
      appendEndTag(nameRange)
      return end
    }
    if !isIgnored { open.push(name, traits) }
    return index
  }

  private mutating func endTag(at start: Int) -> Int {
    let bytes = scanner.bytes
    let nameRange = start + 2..<scanner.nameEnd(from: start + 2)
    var index = nameRange.upperBound
    while scanner.attribute(at: &index) != nil {}
    guard index < bytes.count else { return bytes.count }
    let name = TagName(UnsafeBufferPointer(rebasing: bytes[nameRange]))
    let traits = TagName.traits[name] ?? []
    if let count = omitted[name], count > 0 {
      omitted[name] = count - 1
      leaveOut(isBlock: traits.contains(.block))
      return index + 1
    }
    if traits.contains(.omitted) || name == Self.names.noframes || !keepsFormatting && traits.contains(.formatting) {
      leaveOut()
      return index + 1
    }
    let standIn = traits.contains(.standIn) && !open.isForeign(name) ? StandInElement.byName[name] : nil
    open.end(name, traits)
    appendEndTag(nameRange, of: standIn)
    return index + 1
  }

  /// Whether a tag is left out at any depth.
  private mutating func isOmitted(_ name: TagName, _ traits: TagTraits) -> Bool {
    if traits.contains(.once) { return !seenOnce.insert(name).inserted }
    if name == Self.names.frameset { hasFrames = true }
    if name == Self.names.noframes { return hasFrames }
    return traits.contains(.omitted) || name == Self.names.noscript || !keepsFormatting && traits.contains(.formatting)
  }

  /// Leaves out the tags of an element that is too deep.
  private mutating func omit(_ nameRange: Range<Int>, _ name: TagName, _ traits: TagTraits, _ index: Int) -> Int {
    if traits.contains(.hiddenText) {
      leaveOut()
      return textEnd(of: nameRange, from: index)
    }
    omitted[name, default: 0] += 1
    leaveOut(isBlock: traits.contains(.block))
    return index
  }

  /// Writes a separator in the place of what is left out.
  private mutating func leaveOut(isBlock: Bool = false) {
    let mark = isBlock ? Array(Self.blockMark.utf8) : Self.emptyComment
    if !output.suffix(mark.count).elementsEqual(mark) { output += mark }
  }

  private mutating func appendEndTag(_ nameRange: Range<Int>, of standIn: StandInElement? = nil) {
    if let standIn {
      output += standIn.endTag
      return
    }
    output += [0x3C, 0x2F]
    output.append(contentsOf: scanner.bytes[nameRange])
    output.append(0x3E)
  }

  /// The end of a raw-text element, after its end tag.
  private func textEnd(of nameRange: Range<Int>, from start: Int) -> Int {
    let isScript = scanner.matches("script", at: nameRange.lowerBound)
    let end = isScript ? scanner.scriptEndTag(of: nameRange, from: start) : scanner.endTag(of: nameRange, from: start)
    return min(scanner.next(0x3E, from: end) + 1, scanner.bytes.count)
  }

  /// The end of a `noscript` element; that of its start tag when there is no end tag, so that the rest of the page is
  /// kept.
  private mutating func noscriptEnd(_ nameRange: Range<Int>, from start: Int) -> Int {
    guard !isNoscriptOpen else { return start }
    isNoscriptOpen = scanner.endTag(of: nameRange, from: start) == scanner.bytes.count
    return isNoscriptOpen ? start : textEnd(of: nameRange, from: start)
  }

  private mutating func copyText(of nameRange: Range<Int>, from start: Int) -> Int {
    let end = scanner.endTag(of: nameRange, from: start)
    let text = UnsafeBufferPointer(rebasing: scanner.bytes[start..<end])
    if TagName(UnsafeBufferPointer(rebasing: scanner.bytes[nameRange])) == Self.names.title {
      output.appendReferences(of: text)
    } else {
      output.append(contentsOf: text)
    }
    guard end < scanner.bytes.count else { return end }
    appendEndTag(nameRange)
    if open.isForeign { open.end(TagName(UnsafeBufferPointer(rebasing: scanner.bytes[nameRange])), []) }
    return min(scanner.next(0x3E, from: end) + 1, scanner.bytes.count)
  }
}
