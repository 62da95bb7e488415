import CGumbo

/// The notation of a superscript or subscript within a line, which keeps its digits apart from those around it:
/// `10^23`, `x_1^2`, `x^{n + 1}`.
enum ScriptText {
  enum Form {
    /// As other text: an ordinal's letters, a sign, a note in brackets.
    case plain
    case marked
    case braced
  }

  private static let ordinals: Set<String> = ["st", "nd", "rd", "th", "tm", "sm"]

  static func form(of node: HTMLNode, isSuperscript: Bool) -> Form {
    let text = content(of: node)
    let trimmed = String(String.UnicodeScalarView(text.unicodeScalars.filter { !$0.properties.isWhitespace }))
    guard let first = trimmed.unicodeScalars.first else { return .plain }
    if isSuperscript {
      if ordinals.contains(trimmed.lowercased()) || first == "[" { return .plain }
      // Signs of footnotes and trade marks.
      if trimmed.unicodeScalars.allSatisfy({ !isAlphanumeric($0) && !"+-−–".unicodeScalars.contains($0) }) {
        return .plain
      }
    }
    let isSimple =
      trimmed.unicodeScalars.count < 16
      && text.unicodeScalars.allSatisfy { isAlphanumeric($0) || "+-−–.,* \n\t".unicodeScalars.contains($0) }
    let hasInnerSpace = text.split(whereSeparator: \.isWhitespace).count > 1
    return isSimple && !hasInnerSpace ? .marked : .braced
  }

  private static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isAlphabetic || scalar.properties.numericType != nil
  }

  /// The beginning of a subtree's text, from at most 64 nodes.
  private static func content(of node: HTMLNode) -> String {
    var bytes: [UInt8] = []
    var pending = [node]
    var steps = 0
    while let node = pending.popLast(), bytes.count < 64, steps < 64 {
      steps += 1
      if let text = node.text {
        bytes += text.prefix(64)
      } else if node.isElement {
        pending += node.children.reversed()
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
