/// Lays out text in lines and paragraphs, white space collapsed as a browser does.
struct TextWriter {
  private var output: [UInt8] = []
  /// Line ends due before the next text: 1 starts a line, 2 leaves one empty.
  private var dueLineEnds = 0
  private var isSpaceDue = false
  /// What goes before the next text of a list item.
  private var marker: String?
  private var preformattedDepth = 0
  /// Bars between a row's cells that are due before the next text, so that an empty row leaves nothing.
  private var dueBars = 0
  /// Within a table cell line ends become spaces.
  private var cellDepth = 0

  mutating func startLine() { endLine(times: 1) }

  mutating func startParagraph() { endLine(times: 2) }

  /// Puts `marker` before the next text; blocks that begin before that text do not part the two.
  mutating func setMarker(_ marker: String) { self.marker = marker }

  mutating func beginPreformatted() {
    startParagraph()
    preformattedDepth += 1
  }

  mutating func endPreformatted() {
    preformattedDepth -= 1
    while output.last == UInt8(ascii: "\n") { output.removeLast() }
    startParagraph()
  }

  mutating func beginCell(isFirst: Bool) {
    if !isFirst { dueBars += 1 }
    isSpaceDue = !isFirst
    cellDepth += 1
  }

  mutating func endCell() { cellDepth -= 1 }

  /// Appends the text of a node, UTF-8.
  mutating func append(_ text: UnsafeBufferPointer<UInt8>) {
    if preformattedDepth > 0 {
      appendPreformatted(text)
      return
    }
    var index = 0
    while index < text.count {
      let spaceLength = Self.spaceLength(in: text, at: index)
      if spaceLength > 0 {
        isSpaceDue = true
        index += spaceLength
        continue
      }
      placeDue()
      let start = index
      while index < text.count, Self.spaceLength(in: text, at: index) == 0 { index += 1 }
      output += text[start..<index]
    }
  }

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
    dueBars = 0
    isSpaceDue = false
  }

  private mutating func appendPreformatted(_ text: UnsafeBufferPointer<UInt8>) {
    // The line end right after the opening tag belongs to the tag.
    let isAtStart = dueLineEnds > 0 || output.isEmpty
    let body = isAtStart && text.first == UInt8(ascii: "\n") ? text[1...] : text[...]
    guard !body.isEmpty else { return }
    isSpaceDue = false
    placeDue()
    output += body
  }

  private mutating func placeDue() {
    if !output.isEmpty { output += repeatElement(UInt8(ascii: "\n"), count: dueLineEnds) }
    if let marker { output += Array(marker.utf8) }
    for _ in 0..<dueBars { output += Array(" |".utf8) }
    let isWithinLine = output.last.map { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: " ") } ?? false
    if isSpaceDue, isWithinLine { output.append(UInt8(ascii: " ")) }
    (dueLineEnds, isSpaceDue, marker, dueBars) = (0, false, nil, 0)
  }

  /// The length of the white space at a place: an ASCII character's or a no-break space's; 0 when there is none.
  private static func spaceLength(in text: UnsafeBufferPointer<UInt8>, at index: Int) -> Int {
    if isWhitespace(text[index]) { return 1 }
    return text[index] == 0xC2 && index + 1 < text.count && text[index + 1] == 0xA0 ? 2 : 0
  }
}
