import Foundation

/// Unicode normalisation (UAX #15), with the characters that Hugging Face `tokenizers` knows.
///
/// Its normalisation tables are those of Unicode 9.0: to them, later characters are unassigned, so they neither change
/// nor combine. The forms of all others have not changed since.
enum NormalizationForm: String {
  case composed = "NFC"
  case decomposed = "NFD"
  case compatibilityComposed = "NFKC"
  case compatibilityDecomposed = "NFKD"

  /// The first byte of U+0300, U+00C0 or U+00A0, below which every character is its own normal form.
  var firstByte: UInt8 {
    switch self {
    case .composed: 0xCC
    case .decomposed: 0xC3
    case .compatibilityComposed, .compatibilityDecomposed: 0xC2
    }
  }

  /// `text` in this form.
  func applied(to text: String) -> String {
    guard text.unicodeScalars.contains(where: Self.isInert) else { return map(text) }
    var result = ""
    var stretch = ""
    for scalar in text.unicodeScalars {
      guard Self.isInert(scalar) else {
        stretch.unicodeScalars.append(scalar)
        continue
      }
      result += map(stretch)
      stretch = ""
      result.unicodeScalars.append(scalar)
    }
    return result + map(stretch)
  }

  /// Whether `scalar` is a combining mark to `tokenizers`: of category M in Unicode 9.0.
  static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case ..<0x300: false
    // Two Vedic signs were marks until 12.0, and a Sharada sign has been one since 11.0.
    case 0x1CF2, 0x1CF3: true
    case 0x111C9: false
    default:
      switch scalar.properties.generalCategory {
      case .nonspacingMark, .spacingMark, .enclosingMark: !isInert(scalar)
      default: false
      }
    }
  }

  private func map(_ text: String) -> String {
    switch self {
    case .composed: text.precomposedStringWithCanonicalMapping
    case .decomposed: text.decomposedStringWithCanonicalMapping
    case .compatibilityComposed: Self.withoutVariants(text).precomposedStringWithCanonicalMapping
    case .compatibilityDecomposed: Self.withoutVariants(text).decomposedStringWithCanonicalMapping
    }
  }

  /// `text` with every character's compatibility decomposition in its place, the marks not yet in order.
  ///
  /// Foundation's own compatibility mapping of a whole text leaves marks in the wrong order behind characters such as
  /// U+0F77 (Swift 6.3 on Linux), so only single characters are left to it.
  private static func withoutVariants(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      if let decomposition = variants[scalar.value] {
        result += decomposition
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static let variants: [UInt32: String] = {
    var table: [UInt32: String] = [:]
    for value in 0xA0..<CharacterClasses.limit {
      guard let scalar = Unicode.Scalar(value), !isInert(scalar) else { continue }
      let text = String(scalar)
      let decomposition = text.decomposedStringWithCompatibilityMapping
      if !decomposition.unicodeScalars.elementsEqual(text.unicodeScalars) { table[value] = decomposition }
    }
    return table
  }()

  /// Whether `scalar` came after Unicode 9.0. None of planes 4 to 16 changes or combines in any version.
  private static func isInert(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < CharacterClasses.limit && inert[Int(scalar.value)]
  }

  private static let inert: [Bool] = (0..<CharacterClasses.limit).map { value in
    guard let age = Unicode.Scalar(value)?.properties.age else { return true }
    return age.major > 9
  }
}
