/// An element's inline style (its `style` attribute), by the CSS cascade: a later declaration overrides an earlier one,
/// unless only the earlier one is important; invalid declarations are ignored.
struct InlineStyle {
  enum Visibility {
    case visible, hidden, collapsed
  }

  enum Display {
    case none, block, inline
  }

  enum Script {
    case superscript, `subscript`
  }

  private var display = Property<Display>()
  private var visibleContents = Property<Bool>()
  private var shown = Property<Visibility>()
  private var space = Property<Bool>()
  private var script = Property<Script>()
  private var marker = Property<ListMarker.Style>()

  /// Whether the element and its contents are not rendered.
  var isHidden: Bool { display.value == Display.none || visibleContents.value == false }
  /// Whether the element is displayed as a block.
  var isBlock: Bool { display.value == .block }
  /// The visibility of text; nil when inherited.
  var visibility: Visibility? { shown.value }
  var keepsSpace: Bool { space.value ?? false }
  /// Whether text is a superscript or subscript, by `vertical-align`.
  var scriptForm: Script? { script.value }
  /// The marker of a list's items.
  var listStyle: ListMarker.Style? { marker.value }

  init(_ text: UnsafeBufferPointer<UInt8>) {
    for declaration in CSSDeclarations(text) { apply(declaration) }
  }

  /// A property's value by the cascade.
  private struct Property<Value> {
    private(set) var value: Value?
    private var isImportant = false

    mutating func set(_ value: Value?, by declaration: CSSDeclarations.Declaration) {
      guard declaration.isImportant || !isImportant else { return }
      self.value = value
      isImportant = declaration.isImportant
    }
  }

  private mutating func apply(_ declaration: CSSDeclarations.Declaration) {
    let words = declaration.words
    let word = words?.count == 1 ? words?[0] : nil
    // A valid value that is not known here: the property's default.
    let isDefault = declaration.value.contains(.variable) || word.map(Self.keywords.contains) ?? false
    guard isDefault || !declaration.value.isEmpty else { return }
    switch declaration.name {
    case "display":
      if isDefault { return display.set(.inline, by: declaration) }
      if let words, let value = Self.display(words) { display.set(value, by: declaration) }
    case "visibility":
      let value: Visibility? =
        switch word {
        case "visible", "initial": .visible
        case "hidden": .hidden
        case "collapse": .collapsed
        default: nil
        }
      if isDefault || value != nil { shown.set(value, by: declaration) }
    case "content-visibility":
      if isDefault || word.map(["visible", "auto", "hidden"].contains) ?? false {
        visibleContents.set(word != "hidden", by: declaration)
      }
    case "white-space":
      guard isDefault || words?.allSatisfy(Self.spaces.contains) ?? false else { return }
      let isKept = words?.contains { ["pre", "pre-wrap", "break-spaces", "preserve"].contains($0) } ?? false
      space.set(isKept, by: declaration)
    case "vertical-align":
      switch word {
      case "super": script.set(.superscript, by: declaration)
      case "sub": script.set(.subscript, by: declaration)
      case let word:
        let isLength = declaration.value == [.other]
        if isDefault || isLength || word.map(Self.alignments.contains) ?? false { script.set(nil, by: declaration) }
      }
    case "list-style", "list-style-type":
      for case .word(let word) in declaration.value {
        guard let style = ListMarker.Style(css: word) else { continue }
        return marker.set(style, by: declaration)
      }
    default: break
    }
  }

  private static let keywords: Set = ["inherit", "initial", "unset", "revert", "revert-layer"]
  private static let spaces: Set = [
    "normal", "pre", "nowrap", "pre-wrap", "pre-line", "break-spaces", "collapse", "preserve", "preserve-breaks",
    "preserve-spaces", "wrap",
  ]
  private static let alignments: Set = ["baseline", "text-top", "text-bottom", "middle", "top", "bottom"]
  private static let blocks: Set = [
    "block", "flow-root", "list-item", "flex", "grid", "table", "table-row", "table-row-group", "table-header-group",
    "table-footer-group", "table-caption", "-webkit-box", "-webkit-flex",
  ]
  private static let inlines: Set = [
    "inline", "inline-block", "inline-flex", "inline-grid", "inline-table", "contents", "flow", "table-cell",
    "table-column", "table-column-group", "ruby", "ruby-base", "ruby-text", "ruby-base-container",
    "ruby-text-container", "math", "-webkit-inline-box", "-webkit-inline-flex",
  ]
  private static let parts: Set = [
    "block", "inline", "flow", "flow-root", "table", "flex", "grid", "ruby", "list-item", "math",
  ]

  private static func display(_ words: [String]) -> Display? {
    guard words.count == 1, let word = words.first else {
      guard (2...3).contains(words.count), words.allSatisfy(parts.contains), Set(words).count == words.count else {
        return nil
      }
      return words.contains("inline") ? .inline : .block
    }
    if word == "none" { return Display.none }
    return blocks.contains(word) ? .block : inlines.contains(word) ? .inline : nil
  }
}
