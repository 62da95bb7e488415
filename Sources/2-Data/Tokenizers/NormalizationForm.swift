/// Unicode normalisation (UAX #15) as in Hugging Face `tokenizers`.
///
/// Foundation's own (Swift 6.3 on Linux) is wrong for whole texts: it composes U+10041 and an acute accent as if the
/// former were the letter A, and leaves marks out of order beside characters such as U+0F73 and U+0F77. It is right for
/// single characters, and `NormalizationTables` uses it for these only.
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
    let tables = self == .composed || self == .decomposed ? NormalizationTables.canonical : .compatibility
    var scalars = tables.decomposed(text)
    if self == .composed || self == .compatibilityComposed { scalars = tables.composed(scalars) }
    var result = String.UnicodeScalarView()
    result.reserveCapacity(text.utf8.count)
    for value in scalars { if let scalar = Unicode.Scalar(value) { result.append(scalar) } }
    return String(result)
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
      case .nonspacingMark, .spacingMark, .enclosingMark: NormalizationTables.isKnown(scalar)
      default: false
      }
    }
  }
}
