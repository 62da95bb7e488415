import CGumbo

/// What an element means for the layout of a page's text.
enum HTMLElement: Equatable {
  /// Not text that a reader of the page reads.
  case dropped
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
        "script style template noscript iframe object embed applet svg canvas audio video nav select button textarea "
          + "datalist progress meter noembed noframes rp"
      ),
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
      (.annotation, "rt"),
      (.edit, "ins del s strike"),
    ]
    var layouts = [HTMLElement](repeating: .inline, count: Int(GUMBO_TAG_LAST.rawValue) + 1)
    for (kind, names) in kinds {
      for name in names.split(separator: " ") { layouts[Int(gumbo_tag_enum(String(name)).rawValue)] = kind }
    }
    return layouts
  }()

  /// What an element is by its name and attributes; `layouts` is ``layouts``.
  init(_ node: HTMLNode, layouts: [HTMLElement]) {
    guard node.isHTML else {
      // Within a formula `svg` is a name that means nothing.
      self = node.tag == GUMBO_TAG_SVG && !node.isMathML ? .dropped : .inline
      return
    }
    let tag = node.tag
    var kind = tag == GUMBO_TAG_UNKNOWN ? Self.kind(ofUnknown: node) : layouts[Int(tag.rawValue)]
    if node.pointee.v.element.attributes.length > 0 { kind = Self.kind(of: node, otherwise: kind) }
    if kind == .block, tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH, !Self.holdsBlocks(node, layouts) {
      kind = .cell(isFirst: !Self.followsElement(node))
    }
    self = kind
  }

  private static func kind(ofUnknown node: HTMLNode) -> HTMLElement {
    switch node.unknownName {
    case "dialog": node.attribute("open") == nil ? .dropped : .paragraph
    case "search": .block
    case "slot": .slot
    default: .inline
    }
  }

  /// What attributes make of an element.
  private static func kind(of node: HTMLNode, otherwise kind: HTMLElement) -> HTMLElement {
    if node.tag == GUMBO_TAG_WBR { return .block }
    if node.attribute("hidden") != nil || node.attribute("popover") != nil || isNavigation(node) { return .dropped }
    if node.tag == GUMBO_TAG_IMG, let classes = node.attribute("class"), node.attribute("alt") != nil {
      return classes.contains(anyOf: ["math", "tex", "formula"]) ? .formula : kind
    }
    guard let style = node.attributeText("style").map(InlineStyle.init) else { return kind }
    if style.isHidden { return .dropped }
    guard style.keepsSpace else { return kind }
    switch kind {
    case .block, .paragraph: return .preformatted
    case .inline, .code: return .preformattedInline
    default: return kind
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
        case .paragraph, .block, .preformatted, .list, .listItem: return true
        default: pending.append(child)
        }
      }
    }
    return false
  }
}

/// What a `style` attribute, in lower case, says of an element's text.
struct InlineStyle {
  private(set) var isHidden = false
  private(set) var keepsSpace = false
  /// The marker of a list's items.
  private(set) var listStyle: String?

  init(_ text: String) {
    for declaration in text.split(separator: ";") {
      let parts = declaration.split(separator: ":", maxSplits: 1).map { part in
        String(part.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
      }
      guard parts.count == 2 else { continue }
      let value = parts[1].split(separator: "!").first.map { $0.split(whereSeparator: \.isWhitespace) } ?? []
      switch parts[0] {
      case "display": isDisplayed = value != ["none"]
      case "visibility": isVisible = value != ["hidden"] && value != ["collapse"]
      case "white-space": keepsSpace = [["pre"], ["pre-wrap"], ["break-spaces"]].contains(value)
      case "list-style", "list-style-type":
        listStyle = value.map(String.init).first { ListMarker.Style(css: $0) != nil || $0 == "none" } ?? listStyle
      default: break
      }
    }
    isHidden = !isDisplayed || !isVisible
  }

  private var isDisplayed = true
  private var isVisible = true
}
