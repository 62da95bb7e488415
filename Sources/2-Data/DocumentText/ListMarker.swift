import CGumbo

/// The markers of a list's items.
struct ListMarker {
  enum Style: Equatable {
    case bullet, none, decimal, paddedDecimal, lowerAlpha, upperAlpha, lowerGreek, lowerRoman, upperRoman

    /// From a `type` attribute, which is case-sensitive.
    init?(type: String) {
      switch type {
      case "1": self = .decimal
      case "a": self = .lowerAlpha
      case "A": self = .upperAlpha
      case "i": self = .lowerRoman
      case "I": self = .upperRoman
      default: return nil
      }
    }

    /// From a CSS list style; nil for others.
    init?(css: String) {
      switch css {
      case "none": self = .none
      case "decimal": self = .decimal
      case "decimal-leading-zero": self = .paddedDecimal
      case "lower-greek": self = .lowerGreek
      case "lower-alpha", "lower-latin": self = .lowerAlpha
      case "upper-alpha", "upper-latin": self = .upperAlpha
      case "lower-roman": self = .lowerRoman
      case "upper-roman": self = .upperRoman
      case "disc", "circle", "square": self = .bullet
      default: return nil
      }
    }
  }

  private let style: Style
  private var number: Int
  private let step: Int

  /// The markers of the items of a `ul`, `ol` or other list; `layouts` is ``HTMLElement/layouts``.
  init(list: HTMLNode, layouts: [HTMLElement]) {
    let isNumbered = list.tag == GUMBO_TAG_OL
    let isReversed = isNumbered && list.attribute("reversed") != nil
    step = isReversed ? -1 : 1
    let start = isNumbered ? list.integer("start") : nil
    number = start ?? (isReversed ? Self.itemCount(of: list, layouts) : 1)
    style = Self.style(of: list) ?? (isNumbered ? .decimal : .bullet)
  }

  /// How many items a list has at any depth, without those of nested lists and those left out.
  private static func itemCount(of list: HTMLNode, _ layouts: [HTMLElement]) -> Int {
    var count = 0
    var pending = Array(list.children)
    while let node = pending.popLast() {
      guard node.pointee.type == GUMBO_NODE_ELEMENT else { continue }
      switch HTMLLayout(node, layouts: layouts).element {
      case .dropped, .replaced, .skippedBlock, .list: continue
      case .listItem: count += 1
      default: break
      }
      pending += node.children
    }
    return count
  }

  /// The marker of the next item, with the space after it; empty when it has none.
  mutating func next(for item: HTMLNode) -> String {
    let style = Self.style(of: item) ?? style
    if let value = item.integer("value") { number = value }
    defer { number += step }
    switch style {
    case .bullet: return "- "
    case .none: return ""
    default: return Self.text(of: number, in: style) + ". "
    }
  }

  private static func style(of node: HTMLNode) -> Style? {
    if let style = node.attribute("style").flatMap({ InlineStyle($0).listStyle }) { return style }
    return node.attribute("type").flatMap { Style(type: String(decoding: $0, as: UTF8.self)) }
  }

  private static func text(of number: Int, in style: Style) -> String {
    switch style {
    case .paddedDecimal where abs(number) < 10: (number < 0 ? "-0" : "0") + "\(abs(number))"
    case .lowerAlpha where number > 0: letters(number, of: latin)
    case .upperAlpha where number > 0: letters(number, of: latin).uppercased()
    case .lowerGreek where number > 0: letters(number, of: greek)
    case .lowerRoman where (1..<4000).contains(number): roman(number)
    case .upperRoman where (1..<4000).contains(number): roman(number).uppercased()
    default: "\(number)"
    }
  }

  private static let latin = Array("abcdefghijklmnopqrstuvwxyz")
  /// Without the final sigma.
  private static let greek = Array("αβγδεζηθικλμνξοπρστυφχψω")

  private static func letters(_ number: Int, of alphabet: [Character]) -> String {
    var rest = number
    var text = ""
    while rest > 0 {
      text = String(alphabet[(rest - 1) % alphabet.count]) + text
      rest = (rest - 1) / alphabet.count
    }
    return text
  }

  private static func roman(_ number: Int) -> String {
    let digits = [
      (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
      (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
    ]
    var rest = number
    var text = ""
    for (value, digit) in digits {
      while rest >= value {
        text += digit
        rest -= value
      }
    }
    return text
  }
}
