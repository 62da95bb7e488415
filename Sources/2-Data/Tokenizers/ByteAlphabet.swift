/// The byte alphabet of a byte-level vocabulary: a printable character for each of the 256 bytes (Radford et al. 2019,
/// GPT-2).
///
/// Printable Latin-1 characters stand for themselves; the other 68 bytes take U+0100, U+0101, … in order, so a space is
/// written `Ġ` and a newline `Ċ`.
enum ByteAlphabet {
  /// The character that stands for each byte.
  static let characters: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (UInt8.min...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
        return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? " "
      }
    }
  }()

  /// The byte that each character up to U+0143 stands for, -1 where there is none.
  private static let bytes: [Int16] = {
    var table = [Int16](repeating: -1, count: 0x144)
    for (byte, character) in characters.enumerated() { table[Int(character.value)] = Int16(byte) }
    return table
  }()

  /// The bytes in the order of their characters: the order of the byte symbols' ids after training.
  static let bytesInCharacterOrder: [UInt8] =
    (UInt8.min...UInt8.max).sorted { characters[Int($0)].value < characters[Int($1)].value }

  /// The text that stands for `bytes` in `tokenizer.json`.
  static func text(for bytes: some Sequence<UInt8>) -> String {
    var scalars = String.UnicodeScalarView()
    for byte in bytes { scalars.append(characters[Int(byte)]) }
    return String(scalars)
  }

  /// The bytes that `text` stands for, or nil when it has a character outside the alphabet.
  static func bytes(for text: Substring) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      guard scalar.value < bytes.count, bytes[Int(scalar.value)] >= 0 else { return nil }
      result.append(UInt8(bytes[Int(scalar.value)]))
    }
    return result
  }
}
