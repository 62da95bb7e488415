import CGumbo

/// An element with a declarative shadow root (DOM standard): its shadow tree is rendered, with the element's own
/// children in the tree's slots.
struct ShadowHost {
  /// The shadow root's children.
  let tree: HTMLNodes
  /// The element's children by the name of their slot.
  private var assigned: [[UInt8]: [HTMLNode]] = [:]
  /// The first slot of each name, in the tree's order; the others render their own children.
  private var slots: [[UInt8]: HTMLNode] = [:]

  /// Returns nil for an element without a shadow root.
  init?(_ node: HTMLNode) {
    guard let root = node.children.first(where: Self.isShadowRoot), Self.mayHaveShadow(node) else { return nil }
    tree = root.children
    for child in node.children where child != root && (child.isElement || child.text != nil) {
      assigned[child.isElement ? Self.name(child, "slot") : [], default: []].append(child)
    }
    var pending = Array(tree.reversed())
    while let next = pending.popLast() {
      guard next.pointee.type == GUMBO_NODE_ELEMENT else { continue }
      if next.isHTML, next.tag == GUMBO_TAG_UNKNOWN, next.unknownName == "slot" {
        let name = Self.name(next, "name")
        if slots[name] == nil { slots[name] = next }
      }
      pending += next.children.reversed()
    }
  }

  /// The children assigned to a slot; nil when the slot's own are rendered.
  func nodes(in slot: HTMLNode) -> [HTMLNode]? {
    let name = Self.name(slot, "name")
    guard slots[name] == slot, let nodes = assigned[name],
      nodes.contains(where: { $0.isElement || $0.pointee.type == GUMBO_NODE_TEXT })
    else { return nil }
    return nodes
  }

  private static func name(_ node: HTMLNode, _ attribute: StaticString) -> [UInt8] {
    node.attribute(attribute).map(Array.init) ?? []
  }

  private static func isShadowRoot(_ node: HTMLNode) -> Bool {
    guard node.pointee.type == GUMBO_NODE_TEMPLATE, let mode = node.attributeText("shadowrootmode") else {
      return false
    }
    return mode == "open" || mode == "closed"
  }

  private static let hosts: Set<UInt32> = Set(
    "article aside blockquote body div footer h1 h2 h3 h4 h5 h6 header nav p section span"
      .split(separator: " ").map { gumbo_tag_enum(String($0)).rawValue })

  private static let reservedNames: Set = [
    "annotation-xml", "color-profile", "font-face", "font-face-src", "font-face-uri", "font-face-format",
    "font-face-name", "missing-glyph",
  ]

  /// Whether the standard allows an element to have a shadow tree: some by name, and custom elements.
  private static func mayHaveShadow(_ node: HTMLNode) -> Bool {
    guard node.isHTML else { return false }
    guard node.tag == GUMBO_TAG_UNKNOWN else {
      return hosts.contains(node.tag.rawValue) || StandInElement(node) == .main
    }
    let name = node.unknownName
    return name.contains("-") && !reservedNames.contains(name)
  }
}
