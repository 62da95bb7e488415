import Foundation

/// Unicode normalisation, for tokenizers that ask for it.
enum Normalization {
  /// `text` in normal form C, or nil when it already is or is not valid UTF-8 (bytes are then kept as they are).
  static func composed(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    // Every scalar below U+0300 is its own normal form and does not combine; U+0300 is written CC 80.
    guard text.contains(where: { $0 >= 0xCC }), let string = String(validating: text, as: UTF8.self) else { return nil }
    return Array(string.precomposedStringWithCanonicalMapping.utf8)
  }
}
