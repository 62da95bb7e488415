import CGumbo

/// The readable text of an HTML page: its title, blocks on lines of their own, lists with markers, table rows on lines
/// with bars between their cells, preformatted text as it is; no scripts, styles, navigation or hidden elements.
public struct HTMLText {
  private var writer: TextWriter
  private var frames: [Frame] = []
  private var lists: [ListMarker] = []
  private var hosts: [ShadowHost] = []
  private var hasTitle = false
  private var quotationDepth = 0
  private var titleEnd = 0
  private let layouts = HTMLElement.layouts

  /// An element whose children are being visited.
  private struct Frame {
    var children: HTMLNodes?
    /// Visited instead of `children`: the nodes assigned to a slot, or a formula's parts in the order in which they are
    /// written.
    var nodes: [HTMLNode] = []
    var next = 0
    var element: HTMLElement
    var scriptForm = ScriptText.Form.plain
    var scriptStart = 0
    var math: MathLayout?
    var mathIndex = 0
    var isMath = false
    var isMathElement = false
    var endsHost = false
    /// The shadow host whose slot this fills, off the stack of hosts until the slot ends.
    var filledHost: ShadowHost?
    var suffix = ""
    var isOnOwnLines = false
    /// The visibility around the element, restored at its end.
    var isSeenAround = true
  }

  /// Extracts a page's text as UTF-8.
  ///
  /// - Parameters:
  ///   - html: in any encoding.
  ///   - isXHTML: whether its name is XHTML's, so that elements close as in XML; a page with an XML declaration is
  ///     XHTML too.
  ///   - isDecoded: whether it has been decoded to UTF-8, whatever it declares.
  ///   - fallback: the encoding of a page that declares none.
  /// - Returns: the text, and how many invalid sequences of the page became U+FFFD.
  static func extract(
    from html: [UInt8], isXHTML: Bool = false, isDecoded: Bool = false, fallback: TextEncoding? = nil
  ) throws(TextEncoding.Failure) -> DecodedText {
    let page = isDecoded ? DecodedText(bytes: html) : try EncodingDetection.decodePage(html, fallback: fallback)
    let bytes = page.bytes
    let isXML = isXHTML || bytes.starts(with: Array("<?xml".utf8))
    return DecodedText(bytes: text(ofUTF8: bytes, isXHTML: isXML), replacements: page.replacements)
  }

  /// The text of a page in UTF-8.
  static func text(ofUTF8 html: [UInt8], isXHTML: Bool = false) -> [UInt8] {
    guard let hidden = ControlCharacters.hidden(in: html) else {
      return text(ofMarkup: MarkupFilter.filter(html, isXHTML: isXHTML))
    }
    let text = text(ofMarkup: MarkupFilter.filter(hidden.html, isXHTML: isXHTML))
    return hidden.isReversible ? ControlCharacters.restored(in: text) : text
  }

  /// The text of markup, without the filter that bounds the cost of parsing.
  static func text(ofMarkup markup: [UInt8]) -> [UInt8] {
    let tree = HTMLTree(parsing: markup)
    var text = HTMLText(writer: TextWriter(capacity: markup.count / 2))
    if let root = tree.root { text.append(treeAt: root) }
    return withExtendedLifetime(tree) { text.finish() }
  }

  private init(writer: TextWriter) { self.writer = writer }

  /// The text written; a title that the rest begins with as well is kept once.
  private mutating func finish() -> [UInt8] {
    let bytes = writer.finish()
    let title = bytes[..<min(titleEnd, bytes.count)]
    let rest = bytes[title.endIndex...].drop { $0 == UInt8(ascii: "\n") }
    guard !title.isEmpty, rest.starts(with: title) else { return bytes }
    let next = rest.dropFirst(title.count).first
    return next == nil || next == UInt8(ascii: "\n") ? Array(rest) : bytes
  }

  /// Traverses a tree without recursion, because pages may nest deeper than a thread's stack allows.
  private mutating func append(treeAt root: HTMLNode) {
    visit(root)
    while !frames.isEmpty {
      let top = frames.count - 1
      let place = frames[top].next
      frames[top].next += 1
      if let children = frames[top].children {
        if place < children.count { visit(children[place]) } else { leave() }
      } else if place < frames[top].nodes.count {
        visit(frames[top].nodes[place])
      } else {
        leave()
      }
    }
  }

  private mutating func visit(_ node: HTMLNode) {
    if let text = node.text {
      guard frames.last?.element != .head, frames.last?.isMath != true || node.pointee.type != GUMBO_NODE_WHITESPACE
      else { return }
      writer.append(text)
    } else if node.isElement {
      enter(node)
    }
  }

  /// Begins an element; its children follow unless it is dropped.
  private mutating func enter(_ node: HTMLNode) {
    let layout = HTMLLayout(node, layouts: layouts)
    var element = layout.element
    if frames.last?.element == .head, element != .title { return }
    if element == .dropped { return }
    var frame = Frame(children: node.children, element: element)
    frame.isOnOwnLines = layout.isOnOwnLines
    frame.isSeenAround = writer.isSeen
    if node.isMathML { enterMath(node, &frame) }
    if frame.element == .dropped { return }
    if let host = ShadowHost(node) {
      frame.children = host.tree
      frame.endsHost = true
      hosts.append(host)
    }
    if let visibility = layout.visibility { writer.isSeen = visibility == .visible }
    // A hidden script has no mark.
    if !writer.isSeen, element == .superscript || element == .subscript { frame.element = .edit }
    element = frame.element
    if frame.isOnOwnLines { writer.startLine() }
    switch element {
    case .dropped, .inline, .head: break
    case .replaced: writer.separate()
    case .skippedBlock: writer.startLine()
    case .title:
      guard !hasTitle else { return }
      writer.startParagraph()
      // The title's start.
      frame.scriptStart = writer.count
    case .lineBreak: writer.breakLine()
    case .block: writer.startLine()
    case .paragraph: writer.startParagraph()
    case .preformatted: writer.beginPreformatted()
    case .preformattedInline: writer.beginPreformattedInline()
    case .code: writer.beginCode()
    case .list:
      startList()
      lists.append(ListMarker(list: node, layouts: layouts))
    case .listItem:
      writer.startLine()
      setMarker(for: node)
    case .cell(let isFirst): writer.beginCell(isFirst: isFirst)
    case .superscript, .subscript:
      frame.scriptForm = ScriptText.form(of: node, isSuperscript: element == .superscript)
      if frame.scriptForm != .plain {
        let mark = element == .superscript ? UInt8(ascii: "^") : UInt8(ascii: "_")
        frame.scriptStart = writer.beginScript(mark: mark, isBraced: frame.scriptForm == .braced)
      } else {
        writer.separate()
      }
    case .quotation:
      writer.append(quotationDepth % 2 == 0 ? "“" : "‘")
      quotationDepth += 1
    case .annotation: writer.append("(")
    case .edit: writer.separate()
    case .formula: if let text = node.attribute("alt") { writer.append(text) }
    case .slot: fill(&frame, slot: node)
    }
    switch element {
    case .lineBreak, .formula, .replaced, .skippedBlock:
      if frame.isOnOwnLines { writer.startLine() }
      writer.isSeen = frame.isSeenAround
    default: frames.append(frame)
    }
  }

  /// Ends the innermost element.
  private mutating func leave() {
    guard let frame = frames.popLast() else { return }
    switch frame.element {
    case .dropped, .replaced, .skippedBlock, .inline, .head, .lineBreak, .formula, .slot: break
    case .title:
      writer.startParagraph()
      if frame.scriptStart == 0 { titleEnd = writer.count }
      hasTitle = true
    case .block, .listItem: writer.startLine()
    case .paragraph: writer.startParagraph()
    case .preformatted: writer.endPreformatted()
    case .preformattedInline: writer.endPreformattedInline()
    case .code: writer.endCode()
    case .list:
      _ = lists.popLast()
      startList()
    case .cell: writer.endCell()
    case .superscript, .subscript:
      if frame.scriptForm == .plain {
        writer.separate()
      } else {
        writer.endScript(isBraced: frame.scriptForm == .braced, start: frame.scriptStart)
      }
    case .quotation:
      quotationDepth -= 1
      writer.append(quotationDepth % 2 == 0 ? "”" : "’", isClosing: true)
    case .annotation: writer.append(")", isClosing: true)
    case .edit: writer.separate()
    }
    if !frame.suffix.isEmpty { writer.append(frame.suffix, isClosing: true) }
    if frame.isMathElement { writer.separate(words: frame.math?.isFraction ?? false) }
    if frame.isOnOwnLines { writer.startLine() }
    writer.isSeen = frame.isSeenAround
    if frame.endsHost { _ = hosts.popLast() }
    if let host = frame.filledHost { hosts.append(host) }
  }

  /// Starts a paragraph before and after a list, a line when it is nested.
  private mutating func startList() {
    if lists.isEmpty { writer.startParagraph() } else { writer.startLine() }
  }

  private mutating func setMarker(for item: HTMLNode) {
    guard let innermost = lists.indices.last else {
      if writer.isSeen { writer.setMarker("- ", depth: 0) }
      return
    }
    let marker = lists[innermost].next(for: item)
    if writer.isSeen { writer.setMarker(marker, depth: innermost) }
  }
}

// MARK: Formulas and slots

extension HTMLText {
  /// Begins a MathML element: writes its prefix and opening brackets.
  private mutating func enterMath(_ node: HTMLNode, _ frame: inout Frame) {
    writer.separate()
    guard !MathLayout.isDropped(node) else {
      frame.element = .dropped
      return
    }
    frame.isMathElement = true
    frame.math = MathLayout(node)
    // Token elements keep their white space.
    frame.isMath = ![GUMBO_TAG_MI, GUMBO_TAG_MO, GUMBO_TAG_MN, GUMBO_TAG_MS, GUMBO_TAG_MTEXT].contains(node.tag)
    if let top = frames.indices.last, let layout = frames[top].math {
      let index = frames[top].mathIndex
      frames[top].mathIndex += 1
      if index < layout.parts.count {
        let part = layout.parts[index]
        if !part.prefix.isEmpty { writer.append(part.prefix, isClosing: index > 0) }
        if let brackets = part.brackets, !MathLayout.isSimple(node) {
          writer.append(brackets.0, isClosing: index > 0)
          frame.suffix = brackets.1
        }
      }
    }
    guard let layout = frame.math else { return }
    if layout.standsApart { writer.spaceAfterWord() }
    if !layout.opening.isEmpty { writer.append(layout.opening) }
    frame.suffix = layout.closing + frame.suffix
    if let nodes = layout.nodes { (frame.children, frame.nodes) = (nil, nodes) }
  }

  /// Fills a slot with the host's children assigned to it; the slot keeps its own when there are none.
  private mutating func fill(_ frame: inout Frame, slot: HTMLNode) {
    guard let nodes = hosts.last?.nodes(in: slot) else { return }
    frame.children = nil
    frame.nodes = nodes
    frame.filledHost = hosts.popLast()
  }
}
