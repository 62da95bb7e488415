import CGumbo

/// An element that Gumbo does not fully support. During parsing a rare element with the same rules stands in for it:
/// its start tag ends a paragraph, and what is within cannot end it.
enum StandInElement: String, CaseIterable {
  case dialog, main, search

  /// The attribute of a stand-in with the name of the element it stands for; a page's own attributes of that name are
  /// left out.
  static let attribute: StaticString = "forge-element"

  private var name: String {
    switch self {
    case .dialog: "dir"
    case .main: "center"
    case .search: "hgroup"
    }
  }

  /// The start tag without its `>`.
  var startTag: [UInt8] { Array("<\(name) \(Self.attribute)=\(rawValue)".utf8) }

  var endTag: [UInt8] { Array("</\(name)>".utf8) }

  static let byName = Dictionary(uniqueKeysWithValues: allCases.map { (TagName($0.rawValue), $0) })

  /// The element that a node stands in for; nil when it is no stand-in.
  init?(_ node: HTMLNode) {
    guard [GUMBO_TAG_DIR, GUMBO_TAG_CENTER, GUMBO_TAG_HGROUP].contains(node.tag),
      let name = node.attribute(Self.attribute)
    else { return nil }
    self.init(rawValue: String(decoding: name, as: UTF8.self))
  }
}
