/// The character classes of the pre-tokenization patterns.
enum CharacterClass: UInt8 {
  /// Neither of the others: punctuation, symbols, marks, controls, unassigned code points and invalid bytes.
  case other
  /// `\p{L}`
  case letter
  /// `\p{N}`
  case number
  /// `\s` except carriage return and line feed
  case whitespace
  /// Carriage return and line feed
  case newline
}

/// One class per Unicode scalar, computed once from the standard library's Unicode tables.
enum CharacterClasses {
  /// No letter, number or white space lies at or above this scalar (planes 4 to 16).
  static let limit: UInt32 = 0x40000

  /// The class of every scalar below `limit`.
  ///
  /// Characters newer than Unicode 16.0 count as unassigned, because the regular expression engine of Hugging Face
  /// `tokenizers` 0.23 lacks them and both must split text into the same words; up to 16.0 the two agree on every
  /// scalar.
  static let table: [CharacterClass] = (0..<limit).map { value in
    guard let scalar = Unicode.Scalar(value) else { return .other }
    return classify(scalar)
  }

  private static func classify(_ scalar: Unicode.Scalar) -> CharacterClass {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .unassigned:
      return .other
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return isKnown(properties) ? .letter : .other
    case .decimalNumber, .letterNumber, .otherNumber:
      return isKnown(properties) ? .number : .other
    default:
      if scalar == "\r" || scalar == "\n" { return .newline }
      return properties.isWhitespace ? .whitespace : .other
    }
  }

  /// Whether a character was assigned in Unicode 16.0.
  static func isKnown(_ properties: Unicode.Scalar.Properties) -> Bool {
    guard let age = properties.age else { return false }
    return age.major <= 16
  }
}
