import CLibXML2

/// The readable text of an HTML page: blocks on lines of their own, lists with markers, table rows on lines with bars
/// between their cells, preformatted text as it is; no scripts, styles or navigation.
struct HTMLText {
  private var writer = TextWriter()
  /// The open lists: how many items a numbered one has had, nil for one without numbers.
  private var lists: [Int?] = []

  /// The page's text as UTF-8; nil when libxml2 can make nothing of it.
  static func extract(from html: [UInt8]) -> [UInt8]? {
    guard let document = parse(html) else { return nil }
    defer { xmlFreeDoc(document) }
    var text = HTMLText()
    if let root = xmlDocGetRootElement(document) { text.append(treeAt: root) }
    return text.writer.finish()
  }

  /// Visits a tree without recursion, because pages may nest deeper than a thread's stack.
  private mutating func append(treeAt root: xmlNodePtr) {
    var node = root
    while true {
      if enter(node), let child = node.pointee.children {
        node = child
        continue
      }
      leave(node)
      while node != root, node.pointee.next == nil, let parent = node.pointee.parent {
        node = parent
        leave(node)
      }
      guard node != root, let next = node.pointee.next else { return }
      node = next
    }
  }

  /// Begins a node; returns whether to go on to its children.
  private mutating func enter(_ node: xmlNodePtr) -> Bool {
    if node.pointee.type == XML_TEXT_NODE, let content = node.pointee.content {
      writer.append(UnsafeBufferPointer(start: content, count: Int(xmlStrlen(content))))
    }
    guard node.pointee.type == XML_ELEMENT_NODE else { return false }
    switch HTMLElement(node) {
    case .dropped: return false
    case .inline: break
    case .lineBreak: writer.startLine()
    case .block: writer.startLine()
    case .paragraph: writer.startParagraph()
    case .preformatted: writer.beginPreformatted()
    case .list(let isNumbered):
      startList()
      lists.append(isNumbered ? 0 : nil)
    case .listItem:
      writer.startLine()
      writer.setMarker(nextMarker())
    case .cell(let isFirst): writer.beginCell(isFirst: isFirst)
    }
    return true
  }

  /// Ends a node; called once for each that was begun.
  private mutating func leave(_ node: xmlNodePtr) {
    guard node.pointee.type == XML_ELEMENT_NODE else { return }
    switch HTMLElement(node) {
    case .dropped, .inline, .lineBreak: break
    case .block, .listItem: writer.startLine()
    case .paragraph: writer.startParagraph()
    case .preformatted: writer.endPreformatted()
    case .list:
      _ = lists.popLast()
      startList()
    case .cell: writer.endCell()
    }
  }

  /// Space around a list, unless it is part of another.
  private mutating func startList() {
    if lists.isEmpty { writer.startParagraph() } else { writer.startLine() }
  }

  private mutating func nextMarker() -> String {
    guard let innermost = lists.indices.last else { return "- " }
    let indentation = String(repeating: "  ", count: innermost)
    guard let number = lists[innermost] else { return indentation + "- " }
    lists[innermost] = number + 1
    return indentation + "\(number + 1). "
  }
}

extension HTMLText {
  /// libxml2 must be initialised once, before threads use it.
  private static let initialized: Void = xmlInitParser()

  /// The page's tree, to be freed by the caller.
  private static func parse(_ html: [UInt8]) -> xmlDocPtr? {
    _ = initialized
    return html.withUnsafeBytes { bytes in
      bytes.withMemoryRebound(to: CChar.self) { bytes -> xmlDocPtr? in
        guard let context = htmlCreateMemoryParserCtxt(bytes.baseAddress, Int32(clamping: bytes.count)) else {
          return nil
        }
        defer { htmlFreeParserCtxt(context) }
        let options = [HTML_PARSE_RECOVER, HTML_PARSE_NOERROR, HTML_PARSE_NOWARNING, HTML_PARSE_NONET]
        htmlCtxtUseOptions(context, options.reduce(0) { $0 | Int32($1.rawValue) })
        // No limit on depth and on the length of a text.
        context.pointee.options |= Int32(XML_PARSE_HUGE.rawValue)
        // A page that is valid UTF-8 is taken as such whatever it says of itself; another as it says.
        if String(validating: html, as: UTF8.self) != nil {
          htmlCtxtUseOptions(context, Int32(HTML_PARSE_IGNORE_ENC.rawValue))
          xmlSwitchEncoding(context, XML_CHAR_ENCODING_UTF8)
        }
        htmlParseDocument(context)
        return context.pointee.myDoc
      }
    }
  }
}
