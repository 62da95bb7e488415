import Support

/// A tokenizer's text normalization before pre-tokenization: the normalizers of `tokenizer.json`, applied in order.
///
/// A byte that is not part of well-formed UTF-8 stays as it is, and the text on either side is normalised by itself.
struct Normalizer: Sendable {
  private enum Step {
    case form(NormalizationForm)
    case lowercase
    case stripAccents
    case strip(left: Bool, right: Bool)
    case prepend([UInt8])
    case replace([UInt8], by: [UInt8])

    /// Text without any byte from this one on stays as it is.
    var firstByte: UInt8 {
      switch self {
      case .form(let form): form.firstByte
      case .lowercase: UInt8(ascii: "A")
      case .stripAccents: 0xCC
      case .strip, .prepend, .replace: 0
      }
    }
  }

  private let steps: [Step]
  private let firstByte: UInt8
  /// The max factor by which replacements may lengthen a text; several in sequence could let it grow without bound.
  private static let maxGrowth = 16

  /// - Throws: `JSON.Malformed` for a step that is not supported or lacks a parameter.
  init(_ steps: [JSON.Object]) throws(JSON.Malformed) {
    var known: [Step] = []
    var growth = 1
    for step in steps {
      known.append(try Self.step(step))
      if case .replace(let pattern, let content) = known[known.count - 1] {
        growth *= max(1, (content.count + pattern.count - 1) / pattern.count)
      }
      guard growth <= Self.maxGrowth else {
        throw JSON.Malformed("its normalizers can make a text more than \(Self.maxGrowth) times as long")
      }
    }
    self.steps = known
    firstByte = known.map(\.firstByte).min() ?? .max
  }

  private static func step(_ step: JSON.Object) throws(JSON.Malformed) -> Step {
    let type = try step.required("type", step.string("type"))
    if let form = NormalizationForm(rawValue: type) { return .form(form) }
    switch type {
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "Strip":
      return .strip(
        left: try step.required("strip_left", step.boolean("strip_left")),
        right: try step.required("strip_right", step.boolean("strip_right")))
    case "Prepend": return .prepend(Array(try step.required("prepend", step.string("prepend")).utf8))
    case "Replace":
      let pattern = try step.object("pattern")
      guard let text = try pattern?.string("String"), !text.isEmpty else {
        throw JSON.Malformed("its normalizer replaces a regular expression, and only a fixed text can be replaced")
      }
      return .replace(Array(text.utf8), by: Array(try step.required("content", step.string("content")).utf8))
    default:
      throw JSON.Malformed(
        "its normalizer \(shown(type)) is none of NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, "
          + "Replace")
    }
  }

  /// Whether a text may be split after a line feed between visible ASCII characters without changing the result.
  var canCutLines: Bool {
    steps.allSatisfy { step in
      switch step {
      case .form, .lowercase, .stripAccents: true
      case .strip, .prepend, .replace: false
      }
    }
  }

  /// The normalised text, or nil when no step can change `text`.
  func normalized(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard !steps.isEmpty, text.contains(where: { $0 >= firstByte }) else { return nil }
    return steps.reduce(Array(text)) { text, step in
      switch step {
      case .form(let form): Self.mapped(text) { form.applied(to: $0) }
      case .lowercase: Self.mapped(text, Self.lowercased)
      case .stripAccents: Self.mapped(text, Self.withoutMarks)
      case .strip(let left, let right): Self.stripped(text, left: left, right: right)
      case .prepend(let prefix): text.isEmpty ? text : prefix + text
      case .replace(let pattern, let content): Self.replaced(text, pattern, by: content)
      }
    }
  }

  // MARK: Steps

  /// Applies `transform` to every stretch of well-formed UTF-8.
  private static func mapped(_ text: [UInt8], _ transform: (String) -> String) -> [UInt8] {
    if let whole = String(validating: text, as: UTF8.self) { return Array(transform(whole).utf8) }
    var result: [UInt8] = []
    var stretch: [UInt8] = []
    func flush() {
      result += transform(String(decoding: stretch, as: UTF8.self)).utf8
      stretch = []
    }
    var position = 0
    while position < text.count {
      let length = UTF8Text.characterLength(in: text, at: position)
      if length > 0 {
        stretch += text[position..<position + length]
      } else {
        flush()
        result.append(text[position])
      }
      position += max(length, 1)
    }
    flush()
    return result
  }

  /// Lower-cases every character by itself, so a sigma at the end of a word becomes σ, as in Rust's
  /// `char::to_lowercase`.
  private static func lowercased(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars { result += scalar.properties.lowercaseMapping }
    return result
  }

  private static func withoutMarks(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars where !NormalizationForm.isMark(scalar) { result.unicodeScalars.append(scalar) }
    return result
  }

  private static func stripped(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
    let start = left ? UTF8Text.spaceEnd(in: text, from: 0) : 0
    let end = right ? UTF8Text.spaceStart(in: text, before: text.count, notBefore: start) : text.count
    return Array(text[start..<end])
  }

  private static func replaced(_ text: [UInt8], _ pattern: [UInt8], by content: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var position = 0
    while position < text.count {
      if text[position] == pattern[0], text[position...].starts(with: pattern) {
        result += content
        position += pattern.count
      } else {
        result.append(text[position])
        position += 1
      }
    }
    return result
  }
}
