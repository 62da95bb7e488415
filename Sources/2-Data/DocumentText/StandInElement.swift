import CGumbo

/// An element that Gumbo knows less about than the HTML standard does: while it parses, one of the same rules that hardly
/// anybody uses stands in for it (its start tag ends a paragraph, and what is within cannot end it).
enum StandInElement: String, CaseIterable {
  case dialog, main, search

  /// The attribute of the stand-in that says what it stands for; pages' own of that name are never kept.
  static let attribute: StaticString = "forge-element"

  private var name: String {
    switch self {
    case .dialog: "dir"
    case .main: "center"
    case .search: "hgroup"
    }
  }

  /// Of the start tag, all but its end.
  var startTag: [UInt8] { Array("<\(name) \(Self.attribute)=\(rawValue)".utf8) }

  var endTag: [UInt8] { Array("</\(name)>".utf8) }

  static let byName = Dictionary(uniqueKeysWithValues: allCases.map { (TagName($0.rawValue), $0) })

  /// The element that a node stands for.
  init?(_ node: HTMLNode) {
    guard [GUMBO_TAG_DIR, GUMBO_TAG_CENTER, GUMBO_TAG_HGROUP].contains(node.tag),
      let name = node.attribute(Self.attribute)
    else { return nil }
    self.init(rawValue: String(decoding: name, as: UTF8.self))
  }
}
