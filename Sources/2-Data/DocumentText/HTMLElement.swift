import CGumbo

/// What an element means for the layout of a page's text.
enum HTMLElement: Equatable {
  /// Not text that a reader of the page reads.
  case dropped
  /// Not text, but something to be seen within a line.
  case replaced
  /// Not what a page is about, on lines of its own.
  case skippedBlock
  case inline
  /// Of the head only the title is read.
  case head
  case title
  case lineBreak
  /// On lines of its own.
  case block
  /// Set off by empty lines.
  case paragraph
  case preformatted
  /// Within a line, with its white space.
  case preformattedInline
  /// Computer text within a line, in which a no-break space is a space that stays.
  case code
  case list
  case listItem
  /// A cell that reads well within a line; one that holds blocks is a `block`.
  case cell(isFirst: Bool)
  case superscript
  case `subscript`
  case quotation
  /// The pronunciation over a text.
  case annotation
  /// Text taken out or put in.
  case edit
  /// A picture of a formula, with the formula beside it.
  case formula
  /// The place of a shadow tree's host's children.
  case slot

  /// By Gumbo's number of the tag.
  static let layouts: [HTMLElement] = {
    let kinds: [(HTMLElement, String)] = [
      (
        .dropped,
        "script style template noscript datalist noembed noframes rp audio"
      ),
      (
        .replaced,
        "img image input iframe object embed applet canvas video select button textarea progress meter keygen"
      ),
      (.skippedBlock, "nav"),
      (.head, "head"),
      (.title, "title"),
      (.lineBreak, "br"),
      (
        .block,
        "html body div tr dt dd caption legend summary center thead tbody tfoot colgroup option td th hgroup"
      ),
      (
        .paragraph,
        "p h1 h2 h3 h4 h5 h6 dl table blockquote section article aside main header footer figure figcaption form "
          + "fieldset address details hr"
      ),
      (.preformatted, "pre listing xmp plaintext"),
      (.list, "ul menu dir ol"),
      (.listItem, "li"),
      (.code, "code tt kbd samp"),
      (.superscript, "sup"),
      (.subscript, "sub"),
      (.quotation, "q"),
      (.annotation, "rt rtc"),
      (.edit, "ins del s strike"),
    ]
    var layouts = [HTMLElement](repeating: .inline, count: Int(GUMBO_TAG_LAST.rawValue) + 1)
    for (kind, names) in kinds {
      for name in names.split(separator: " ") { layouts[Int(gumbo_tag_enum(String(name)).rawValue)] = kind }
    }
    return layouts
  }()
}

/// What an element's name, attributes and contents make of its layout.
struct HTMLLayout {
  private(set) var element: HTMLElement
  /// Whether it stands on lines of its own, whatever it is.
  private(set) var isOnOwnLines = false
  /// Whether its text is seen; nil when the element around says so.
  private(set) var visibility: InlineStyle.Visibility?

  /// `layouts` is ``HTMLElement/layouts``.
  init(_ node: HTMLNode, layouts: [HTMLElement]) {
    let tag = node.tag
    guard node.isHTML else {
      // Within a formula `svg` is a name that means nothing.
      let isPicture = tag == GUMBO_TAG_SVG && !node.isMathML
      element = isPicture ? .replaced : tag == GUMBO_TAG_TEMPLATE ? .dropped : .inline
      if isPicture, node.pointee.v.element.attributes.length > 0 { apply(attributesOf: node) }
      return
    }
    element = tag == GUMBO_TAG_UNKNOWN ? node.unknownName == "slot" ? .slot : .inline : layouts[Int(tag.rawValue)]
    if node.pointee.v.element.attributes.length > 0 { apply(attributesOf: node) }
    switch element {
    case .block where tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH:
      if !Self.holdsBlocks(node, layouts) { element = .cell(isFirst: !Self.followsElement(node)) }
    case .annotation where node.children.contains { $0.isElement && $0.tag == GUMBO_TAG_RT }: element = .inline
    default: break
    }
  }

  private mutating func apply(attributesOf node: HTMLNode) {
    switch StandInElement(node) {
    case .dialog: element = node.attribute("open") == nil ? .dropped : .paragraph
    case .main: element = .paragraph
    case .search: element = .block
    case nil: applyName(of: node)
    }
    if node.attribute("hidden") != nil || node.attribute("popover") != nil { element = .dropped }
    if element == .dropped { return }
    if Self.isNavigation(node) {
      switch element {
      case .block, .paragraph, .list, .listItem, .preformatted, .skippedBlock: element = .skippedBlock
      default: element = .replaced
      }
    }
    if let style = node.attribute("style") { apply(InlineStyle(style), to: node) }
  }

  /// What a few elements are by their own attributes.
  private mutating func applyName(of node: HTMLNode) {
    switch node.tag {
    case GUMBO_TAG_WBR: element = .block
    case GUMBO_TAG_IMG where node.attribute("alt") != nil:
      if node.attribute("class")?.contains(anyOf: ["math", "tex", "formula"]) == true { element = .formula }
    case GUMBO_TAG_INPUT where node.attributeText("type") == "hidden": element = .dropped
    case GUMBO_TAG_AUDIO where node.attribute("controls") != nil: element = .replaced
    default: break
    }
  }

  private mutating func apply(_ style: InlineStyle, to node: HTMLNode) {
    let rows = [GUMBO_TAG_TR, GUMBO_TAG_TBODY, GUMBO_TAG_THEAD, GUMBO_TAG_TFOOT]
    let isCollapsed = style.visibility == .collapsed && rows.contains(node.tag)
    if style.isHidden || isCollapsed {
      element = .dropped
      return
    }
    visibility = style.visibility
    if style.isBlock, element == .replaced { element = .skippedBlock }
    switch element {
    case .inline, .code, .superscript, .subscript, .quotation, .edit, .formula, .slot: isOnOwnLines = style.isBlock
    default: break
    }
    switch style.scriptForm {
    case .superscript where element == .inline || element == .code: element = .superscript
    case .subscript where element == .inline || element == .code: element = .subscript
    default: break
    }
    guard style.keepsSpace else { return }
    switch element {
    case .block, .paragraph: element = .preformatted
    case .inline, .code: element = .preformattedInline
    default: break
    }
  }

  /// Marked as navigation, or the sign beside a heading that links to it.
  private static func isNavigation(_ node: HTMLNode) -> Bool {
    node.attribute("role")?.hasWord("navigation") == true || node.attribute("class")?.hasWord("headerlink") == true
  }

  private static func followsElement(_ node: HTMLNode) -> Bool {
    guard let parent = node.pointee.parent.map({ HTMLNode($0) }), parent.isElement else { return false }
    return parent.children.prefix(node.pointee.index_within_parent).reversed().contains { $0.isElement }
  }

  /// Whether a cell lays out a part of a page rather than a datum.
  private static func holdsBlocks(_ cell: HTMLNode, _ layouts: [HTMLElement]) -> Bool {
    var pending = [cell]
    while let node = pending.popLast() {
      for child in node.children where child.isElement {
        guard child.isHTML else {
          pending.append(child)
          continue
        }
        switch layouts[Int(child.tag.rawValue)] {
        case .paragraph where child.tag == GUMBO_TAG_P: pending.append(child)
        case .block where child.tag == GUMBO_TAG_DIV: pending.append(child)
        case .list where StandInElement(child) == .dialog && child.attribute("open") == nil: break
        case .paragraph, .block, .preformatted, .list, .listItem: return true
        default: pending.append(child)
        }
      }
    }
    return false
  }
}
