/// A layout of text in lines and paragraphs, with white space collapsed as in a browser.
struct TextWriter {
  private var output: [UInt8] = []
  /// Line ends due before the next text: 1 starts a line, 2 leaves one empty.
  private var dueLineEnds = 0
  private var isSpaceDue = false
  /// Spaces due before the next text that do not collapse.
  private var dueHardSpaces = 0
  /// The list marker due before the next text.
  private var marker: (text: String, depth: Int)?
  private var preformattedDepth = 0
  private var codeDepth = 0
  /// Bars between a row's cells that are due before the next text, so that an empty row leaves nothing.
  private var dueBars = 0
  /// Within a table cell line ends become spaces.
  private var cellDepth = 0
  /// Where the text of the innermost script begins.
  private var scriptStart: Int?
  /// The text of the last script that has no braces.
  private var endedScript: Range<Int>?
  /// Where a digit may not follow a digit.
  private var boundary: Int?
  /// Where a letter or digit may not follow another.
  private var wordBoundary: Int?
  /// Whether text is visible; hidden text only separates what is around it.
  var isSeen = true

  init(capacity: Int) { output.reserveCapacity(capacity) }

  mutating func startLine() { endLine(times: 1) }

  mutating func startParagraph() { endLine(times: 2) }

  /// A line break: one more line end, but no more than one empty line.
  mutating func breakLine() {
    if preformattedDepth > 0 {
      appendPreformatted([UInt8(ascii: "\n")])
    } else if cellDepth > 0 {
      isSpaceDue = true
    } else if marker == nil {
      dueLineEnds = min(2, dueLineEnds + 1)
      (dueBars, isSpaceDue, dueHardSpaces) = (0, false, 0)
    }
  }

  /// Sets the marker of the next text, indented by two spaces for each enclosing list; blocks that begin before that
  /// text do not separate the two.
  mutating func setMarker(_ marker: String, depth: Int) { self.marker = (marker, depth) }

  mutating func beginPreformatted() {
    startParagraph()
    preformattedDepth += 1
  }

  mutating func endPreformatted() {
    preformattedDepth -= 1
    while output.last == UInt8(ascii: "\n") { output.removeLast() }
    startParagraph()
  }

  mutating func beginPreformattedInline() { preformattedDepth += 1 }

  mutating func endPreformattedInline() { preformattedDepth -= 1 }

  mutating func beginCode() { codeDepth += 1 }

  mutating func endCode() { codeDepth -= 1 }

  mutating func beginCell(isFirst: Bool) {
    if !isFirst { dueBars += 1 }
    isSpaceDue = !isFirst
    cellDepth += 1
  }

  mutating func endCell() { cellDepth -= 1 }

  /// Begins a superscript or subscript with its mark; returns where its text begins.
  mutating func beginScript(mark: UInt8, isBraced: Bool) -> Int {
    placeDue()
    output.append(mark)
    if isBraced { output.append(UInt8(ascii: "{")) }
    scriptStart = output.count
    return output.count
  }

  /// Ends the script whose text began at `start`.
  mutating func endScript(isBraced: Bool, start: Int) {
    scriptStart = nil
    if output.count == start {
      // None of it is visible.
      output.removeLast(isBraced ? 2 : 1)
      separate()
      return
    }
    if isBraced { output.append(UInt8(ascii: "}")) } else { endedScript = start..<max(start, output.count) }
  }

  /// Keeps digits on both sides apart; with `words`, letters and digits.
  mutating func separate(words: Bool = false) {
    boundary = output.count
    if words { wordBoundary = output.count }
  }

  /// Puts a space after a letter or digit.
  mutating func spaceAfterWord() {
    if let last = output.last, isLetterOrDigit(last) { isSpaceDue = true }
  }

  /// Appends the text of a node, UTF-8.
  mutating func append(_ text: UnsafeBufferPointer<UInt8>) {
    guard isSeen else {
      if text.contains(where: isWhitespace) { isSpaceDue = true } else { separate() }
      return
    }
    if preformattedDepth > 0 {
      appendPreformatted(text)
      return
    }
    var index = 0
    while index < text.count {
      let spaceLength = Self.spaceLength(in: text, at: index)
      if spaceLength > 0 {
        if spaceLength == 2, codeDepth > 0 {
          dueHardSpaces += 1
        } else if scriptStart != output.count {
          isSpaceDue = true
        }
        index += spaceLength
        continue
      }
      let start = index
      while index < text.count, Self.spaceLength(in: text, at: index) == 0 { index += 1 }
      place(UnsafeBufferPointer(rebasing: text[start..<index]))
    }
  }

  /// Appends text that is not the page's; one that closes something goes before the space that is due.
  mutating func append(_ text: String, isClosing: Bool = false) {
    guard isSeen else { return }
    var text = text
    if isClosing, dueLineEnds == 0, marker == nil, dueBars == 0 {
      output += text.utf8
    } else {
      text.withUTF8 { place($0) }
    }
  }

  /// How many bytes are written, without what is due.
  var count: Int { output.count }

  /// Everything written, ending with a line end.
  mutating func finish() -> [UInt8] {
    while let last = output.last, isWhitespace(last) { output.removeLast() }
    if !output.isEmpty { output.append(UInt8(ascii: "\n")) }
    return output
  }

  private mutating func endLine(times: Int) {
    guard cellDepth == 0 else {
      isSpaceDue = true
      return
    }
    if marker == nil { dueLineEnds = max(dueLineEnds, times) }
    (dueBars, isSpaceDue, dueHardSpaces) = (0, false, 0)
  }

  private mutating func appendPreformatted(_ text: some Collection<UInt8>) {
    guard !text.isEmpty else { return }
    isSpaceDue = false
    let position = output.count
    placeDue()
    if output.count == position, let first = text.first { keepApart(from: first) }
    var isAfterLead = false
    for byte in text {
      // A no-break space becomes a space.
      if isAfterLead, byte == 0xA0 { output[output.count - 1] = 0x20 } else { output.append(byte) }
      isAfterLead = byte == 0xC2
    }
  }

  /// Writes text without white space, and what is due before it.
  private mutating func place(_ text: UnsafeBufferPointer<UInt8>) {
    guard let first = text.first else { return }
    let position = output.count
    placeDue()
    if output.count == position { keepApart(from: first) }
    output += text
  }

  /// Separates what is written from a following letter or digit where the two would be misread together.
  private mutating func keepApart(from first: UInt8) {
    guard isLetterOrDigit(first), let last = output.last, isLetterOrDigit(last) else { return }
    let position = output.count
    if isDigit(first), let script = endedScript, script.upperBound == position {
      // Braces separate the script's digits from those after it.
      output.insert(UInt8(ascii: "{"), at: script.lowerBound)
      output.append(UInt8(ascii: "}"))
    } else if wordBoundary == position || boundary == position && isDigit(first) && isDigit(last) {
      output.append(UInt8(ascii: " "))
    }
  }

  private mutating func placeDue() {
    if dueLineEnds > 0, !output.isEmpty {
      output += repeatElement(UInt8(ascii: "\n"), count: dueLineEnds)
    }
    if let marker {
      output += repeatElement(UInt8(ascii: " "), count: 2 * marker.depth)
      output += Array(marker.text.utf8)
    }
    for _ in 0..<dueBars { output += [UInt8(ascii: " "), UInt8(ascii: "|")] }
    if isSpaceDue, let last = output.last, last != UInt8(ascii: "\n"), last != UInt8(ascii: " ") {
      output.append(UInt8(ascii: " "))
    }
    if dueHardSpaces > 0 { output += repeatElement(UInt8(ascii: " "), count: dueHardSpaces) }
    (dueLineEnds, isSpaceDue, marker, dueBars, dueHardSpaces) = (0, false, nil, 0, 0)
  }

  private func isLetterOrDigit(_ byte: UInt8) -> Bool { isDigit(byte) || (0x41...0x5A).contains(byte & 0xDF) }

  /// The length of the white space at a place: that of HTML or a no-break space; 0 when there is none.
  private static func spaceLength(in text: UnsafeBufferPointer<UInt8>, at index: Int) -> Int {
    if isWhitespace(text[index]) { return text[index] == 0x0B ? 0 : 1 }
    return text[index] == 0xC2 && index + 1 < text.count && text[index + 1] == 0xA0 ? 2 : 0
  }
}
