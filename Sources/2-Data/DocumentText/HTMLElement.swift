import CGumbo

/// The layout role of an HTML element in a page's text.
enum HTMLElement: Equatable {
  /// Not rendered: left out with its contents.
  case dropped
  /// A replaced element within a line, such as an image or a control: left out, but separates what is around it.
  case replaced
  /// A block that is left out, such as navigation.
  case skippedBlock
  case inline
  /// Only the title of the head is kept.
  case head
  case title
  case lineBreak
  /// On lines of its own.
  case block
  /// Set off by empty lines.
  case paragraph
  case preformatted
  /// Inline, with white space preserved.
  case preformattedInline
  /// Inline code, in which a no-break space becomes a space that does not collapse.
  case code
  case list
  case listItem
  /// A table cell within its row's line; a cell that holds blocks is a `block`.
  case cell(isFirst: Bool)
  case superscript
  case `subscript`
  case quotation
  /// A ruby annotation.
  case annotation
  /// Deleted or inserted text.
  case edit
  /// An image of a formula, rendered as its `alt` text.
  case formula
  /// A slot of a shadow tree.
  case slot

  /// Indexed by Gumbo's tag number.
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

/// An element's layout, by its name, attributes and contents.
struct HTMLLayout {
  private(set) var element: HTMLElement
  /// Whether its style makes an inline element a block.
  private(set) var isOnOwnLines = false
  /// The visibility of its text; nil when inherited.
  private(set) var visibility: InlineStyle.Visibility?

  /// `layouts` is ``HTMLElement/layouts``.
  init(_ node: HTMLNode, layouts: [HTMLElement]) {
    let tag = node.tag
    guard node.isHTML else {
      // Within MathML, `svg` is an unknown element.
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

  /// Applies the attributes that determine the layout of a few elements.
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

  /// Whether an element is marked as navigation, or is the permalink beside a heading.
  private static func isNavigation(_ node: HTMLNode) -> Bool {
    node.attribute("role")?.hasWord("navigation") == true || node.attribute("class")?.hasWord("headerlink") == true
  }

  private static func followsElement(_ node: HTMLNode) -> Bool {
    guard let parent = node.pointee.parent.map({ HTMLNode($0) }), parent.isElement else { return false }
    return parent.children.prefix(node.pointee.index_within_parent).reversed().contains { $0.isElement }
  }

  /// Whether a table cell lays out a part of a page rather than holding a value.
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
