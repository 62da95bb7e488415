import CLibXML2

/// What an element means for the layout of a page's text.
enum HTMLElement: Equatable {
  /// Not text that a reader of the page reads.
  case dropped
  case inline
  case lineBreak
  /// On lines of its own.
  case block
  /// Set off by empty lines.
  case paragraph
  case preformatted
  case list(isNumbered: Bool)
  case listItem
  /// A cell that reads well within a line; one that holds blocks is a `block`.
  case cell(isFirst: Bool)

  private static let plainKinds: [String: HTMLElement] = {
    let names: [(HTMLElement, String)] = [
      (.dropped, "head script style template noscript iframe object svg canvas audio video nav select button textarea"),
      (.lineBreak, "br"),
      (.block, "html body div tr dt dd caption legend summary center thead tbody tfoot colgroup option td th"),
      (
        .paragraph, "p h1 h2 h3 h4 h5 h6 dl table blockquote section article aside main header footer figure figcaption"
      ),
      (.paragraph, "form fieldset address details hr"),
      (.preformatted, "pre listing xmp"),
      (.list(isNumbered: false), "ul menu dir"),
      (.list(isNumbered: true), "ol"),
      (.listItem, "li"),
    ]
    let pairs = names.flatMap { kind, names in names.split(separator: " ").map { (String($0), kind) } }
    return Dictionary(uniqueKeysWithValues: pairs)
  }()

  init(_ node: xmlNodePtr) {
    let name = Self.name(of: node)
    let kind = Self.plainKinds[name] ?? .inline
    if Self.isNavigation(node) {
      self = .dropped
    } else if name == "td" || name == "th", !Self.holdsBlocks(node) {
      self = .cell(isFirst: !Self.followsCell(node))
    } else {
      self = kind
    }
  }

  private static func name(of node: xmlNodePtr) -> String {
    node.pointee.name.map { String(cString: $0).lowercased() } ?? ""
  }

  /// Marked as navigation, or the sign beside a heading that links to it.
  private static func isNavigation(_ node: xmlNodePtr) -> Bool {
    guard node.pointee.properties != nil else { return false }
    return attribute("role", of: node) == "navigation"
      || attribute("class", of: node)?.split(separator: " ").contains("headerlink") == true
  }

  private static func attribute(_ name: String, of node: xmlNodePtr) -> String? {
    var attribute = node.pointee.properties
    while let candidate = attribute {
      if xmlStrEqual(candidate.pointee.name, name) != 0 {
        return candidate.pointee.children?.pointee.content.map { String(cString: $0) }
      }
      attribute = candidate.pointee.next
    }
    return nil
  }

  private static func followsCell(_ node: xmlNodePtr) -> Bool {
    var sibling = node.pointee.prev
    while let node = sibling {
      if node.pointee.type == XML_ELEMENT_NODE { return true }
      sibling = node.pointee.prev
    }
    return false
  }

  /// Whether a cell lays out a part of a page rather than a datum.
  private static func holdsBlocks(_ cell: xmlNodePtr) -> Bool {
    var pending = [cell]
    while let node = pending.popLast() {
      var child = node.pointee.children
      while let node = child {
        if node.pointee.type == XML_ELEMENT_NODE {
          let name = name(of: node)
          switch plainKinds[name] ?? .inline {
          case .inline, .lineBreak, .dropped: pending.append(node)
          case .paragraph where name == "p": pending.append(node)
          case .block where name == "div": pending.append(node)
          default: return true
          }
        }
        child = node.pointee.next
      }
    }
    return false
  }
}
