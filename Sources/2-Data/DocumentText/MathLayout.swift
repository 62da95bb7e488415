import CGumbo

/// The linear notation of a MathML element, which keeps its numbers apart: `x_1^2`, `1/2`, `√[3]x`.
struct MathLayout {
  struct Part {
    /// Written before it.
    var prefix: String
    /// Written around it when it is more than a single number, letter or sign.
    var brackets: (String, String)?
  }

  /// One for each child that is an element, in the order in which they are written.
  private(set) var parts: [Part] = []
  /// The children in the order in which they are written, where that differs from the document's.
  private(set) var nodes: [HTMLNode]?
  private(set) var opening = ""
  private(set) var closing = ""
  private(set) var isFraction = false
  /// Whether a letter or digit before it would be taken for a part of it.
  private(set) var standsApart = false

  private static let braces = ("{", "}")
  private static let parentheses = ("(", ")")

  init?(_ node: HTMLNode) {
    let elements = node.children.filter(\.isElement)
    switch node.unknownName {
    case "msup", "mover": parts = Self.scripts("", "^")
    case "msub", "munder": parts = Self.scripts("", "_")
    case "msubsup", "munderover": parts = Self.scripts("", "_", "^")
    case "mmultiscripts": setScripts(elements)
    case "mfrac":
      parts = ["", "/"].map { Part(prefix: $0, brackets: Self.parentheses) }
      (isFraction, standsApart) = (true, true)
    case "msqrt" where elements.count == 1: parts = [Part(prefix: "√", brackets: Self.parentheses)]
    case "msqrt": (opening, closing) = ("√(", ")")
    case "mroot":
      parts = [Part(prefix: "√["), Part(prefix: "]", brackets: Self.parentheses)]
      nodes = Array(elements.prefix(2).reversed())
    case "mfenced":
      opening = node.attribute("open").map { String(decoding: $0, as: UTF8.self) } ?? "("
      closing = node.attribute("close").map { String(decoding: $0, as: UTF8.self) } ?? ")"
      let text = node.attribute("separators").map { String(decoding: $0, as: UTF8.self) } ?? ","
      let signs = text.filter { !$0.isWhitespace }.map { "\($0) " }
      parts = elements.indices.map { index in
        Part(prefix: index == 0 ? "" : signs.isEmpty ? " " : signs[min(index, signs.count) - 1])
      }
    case "mtable": parts = elements.indices.map { Part(prefix: $0 == 0 ? "" : "; ") }
    case "mtr", "mlabeledtr": parts = elements.indices.map { Part(prefix: $0 == 0 ? "" : ", ") }
    default: return nil
    }
  }

  /// Lays out a base with scripts on both sides (`mmultiscripts`): pairs of a lower and an upper one, those before the
  /// base after all others.
  private mutating func setScripts(_ elements: [HTMLNode]) {
    let split = elements.firstIndex { $0.unknownName == "mprescripts" } ?? elements.count
    var order: [HTMLNode] = []
    func add(_ scripts: ArraySlice<HTMLNode>) {
      for (index, script) in scripts.enumerated() where Self.hasContents(script) {
        order.append(script)
        parts.append(Part(prefix: index % 2 == 0 ? "_" : "^", brackets: Self.braces))
      }
    }
    add(elements.dropFirst(split + 1))
    standsApart = !order.isEmpty
    order += elements.prefix(min(split, 1))
    parts.append(Part(prefix: "", brackets: Self.braces))
    add(elements[..<split].dropFirst())
    nodes = order
  }

  private static func scripts(_ prefixes: String...) -> [Part] {
    prefixes.map { Part(prefix: $0, brackets: braces) }
  }

  private static func hasContents(_ node: HTMLNode) -> Bool {
    node.unknownName != "none" && node.children.contains { $0.isElement || $0.pointee.type == GUMBO_NODE_TEXT }
  }

  /// Whether an element is not rendered.
  static func isDropped(_ node: HTMLNode) -> Bool {
    node.tag == GUMBO_TAG_ANNOTATION_XML || ["annotation", "mphantom"].contains(node.unknownName)
  }

  /// Whether an element is a single number, letter or sign.
  static func isSimple(_ node: HTMLNode) -> Bool {
    let elements = node.children.filter(\.isElement)
    if elements.isEmpty { return true }
    guard elements.count == 1, MathLayout(node) == nil else { return false }
    return elements[0].children.allSatisfy { !$0.isElement }
  }
}
