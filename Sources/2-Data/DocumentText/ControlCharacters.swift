/// Control characters and noncharacters of a page. The HTML standard keeps them, but Gumbo's decoder replaces them by
/// U+FFFD, so private-use characters stand in for them during parsing.
enum ControlCharacters {
  private static let firstStandIn: UInt32 = 0x10_F800
  private static let noncharacters: UInt32 = 0xA0
  private static let planeEnds: UInt32 = 0xC0
  private static let standInCount: UInt32 = 0xE2

  /// Replaces these characters of a page (valid UTF-8) by stand-ins, or removes them when the page itself contains
  /// stand-ins. Returns the page and whether they can be restored; nil when it has none.
  static func hidden(in html: [UInt8]) -> (html: [UInt8], isReversible: Bool)? {
    html.withUnsafeBufferPointer { bytes in
      var place = 0
      guard next(in: bytes, from: &place) != nil else { return nil }
      let hasStandIns = hasStandIns(bytes)
      var result = DecodedText()
      result.bytes.reserveCapacity(bytes.count + 64)
      var written = 0
      place = 0
      while let found = next(in: bytes, from: &place) {
        result.bytes += bytes[written..<place]
        if !hasStandIns { result.append(firstStandIn + found.index) }
        place += found.length
        written = place
      }
      result.bytes += bytes[written...]
      return (result.bytes, !hasStandIns)
    }
  }

  /// Restores the characters that stand-ins replace.
  static func restored(in text: [UInt8]) -> [UInt8] {
    var result = DecodedText()
    result.bytes.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      if text[index] == 0xF4, index + 3 < text.count, let character = character(of: text[index..<index + 4]) {
        result.append(character)
        index += 4
      } else {
        result.bytes.append(text[index])
        index += 1
      }
    }
    return result.bytes
  }

  private static func character(of standIn: ArraySlice<UInt8>) -> UInt32? {
    let scalar = standIn.reduce(0) { $0 << 6 | UInt32($1 & 0x3F) } & 0x1F_FFFF
    guard scalar >= firstStandIn, scalar < firstStandIn + standInCount else { return nil }
    let index = scalar - firstStandIn
    if index < noncharacters { return index }
    if index < planeEnds { return 0xFDD0 + index - noncharacters }
    return ((index - planeEnds) >> 1) << 16 | 0xFFFE | (index - planeEnds) & 1
  }

  private static func hasStandIns(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    bytes.indices.contains { index in
      bytes[index] == 0xF4 && index + 3 < bytes.count && character(of: Array(bytes[index..<index + 4])[...]) != nil
    }
  }

  /// Advances `place` to the next such character; returns its index among the stand-ins and its length in bytes.
  private static func next(
    in bytes: UnsafeBufferPointer<UInt8>, from place: inout Int
  ) -> (index: UInt32, length: Int)? {
    while place < bytes.count {
      // 0x20 to 0x7E are none.
      if bytes[place] &- 0x20 >= 0x5F, let found = character(in: bytes, at: place) { return found }
      place += 1
    }
    return nil
  }

  private static func character(
    in bytes: UnsafeBufferPointer<UInt8>, at index: Int
  ) -> (index: UInt32, length: Int)? {
    let byte = bytes[index]
    func following(_ offset: Int) -> UInt8 { index + offset < bytes.count ? bytes[index + offset] : 0 }
    switch byte {
    case 0, 0x09, 0x0A, 0x0C, 0x0D: return nil
    case ..<0x20, 0x7F: return (UInt32(byte), 1)
    case 0xC2 where following(1) < 0xA0: return (UInt32(following(1)), 2)
    case 0xEF where following(1) == 0xB7 && (0x90...0xAF).contains(following(2)):
      return (noncharacters + UInt32(following(2) - 0x90), 3)
    case 0xEF where following(1) == 0xBF && following(2) >= 0xBE: return (planeEnds + UInt32(following(2) & 1), 3)
    case 0xF0... where following(1) & 0xF == 0xF && following(2) == 0xBF && following(3) >= 0xBE:
      let plane = UInt32(byte & 7) << 2 | UInt32(following(1) & 0x30) >> 4
      return (planeEnds + 2 * plane + UInt32(following(3) & 1), 4)
    default: return nil
    }
  }
}
