import Glibc

/// The decoding tables of a multi-byte encoding: read from the C library's `iconv`, and corrected where it differs from
/// the Encoding standard's indexes.
final class CharacterTables: Sendable {
  /// Scalars at `lead << 8 | trail`; 0 where there is none.
  private let scalars: [UInt32]
  /// JIS X 0212, the three-byte characters of EUC-JP.
  private let supplements: [UInt32]

  func scalar(_ lead: UInt8, _ trail: UInt8) -> UInt32? { Self.lookUp(scalars, lead, trail) }

  func supplement(_ lead: UInt8, _ trail: UInt8) -> UInt32? { Self.lookUp(supplements, lead, trail) }

  static func of(_ encoding: MultiByteEncoding) throws(TextEncoding.Failure) -> CharacterTables {
    let tables =
      switch encoding {
      case .gbk, .gb18030: gb18030
      case .big5: big5
      case .eucJP: eucJP
      case .shiftJIS: shiftJIS
      case .eucKR: eucKR
      }
    guard let tables else { throw .unavailable }
    return tables
  }

  private static let gb18030 = CharacterTables("GB18030", corrections: EncodingCorrections.gb18030)
  private static let big5 = CharacterTables("BIG5-HKSCS", corrections: EncodingCorrections.big5)
  private static let shiftJIS = CharacterTables("CP932")
  private static let eucKR = CharacterTables("UHC")
  private static let eucJP: CharacterTables? = {
    // The standard's JIS X 0208 index has the characters of windows-31j in another layout.
    guard let shiftJIS, let other = CharacterTables("EUC-JP", prefix: [0x8F]) else { return nil }
    var scalars = [UInt32](repeating: 0, count: 1 << 16)
    for row in 0..<94 {
      for column in 0..<94 {
        let (lead, trail) = (row * 94 + column).quotientAndRemainder(dividingBy: 188)
        let value = shiftJIS.scalar(
          UInt8(lead + (lead < 0x1F ? 0x81 : 0xC1)), UInt8(trail + (trail < 0x3F ? 0x40 : 0x41)))
        if let value, !(0xE000..<0xF900).contains(value) { scalars[(row + 0xA1) << 8 | (column + 0xA1)] = value }
      }
    }
    return CharacterTables(scalars: scalars, supplements: other.scalars)
  }()

  private init(scalars: [UInt32], supplements: [UInt32]) {
    self.scalars = scalars
    self.supplements = supplements
  }

  /// Decodes every sequence of `prefix`, lead and trail byte with `iconv`; nil when it does not support the encoding.
  private init?(_ name: String, prefix: [UInt8] = [], corrections: [UInt32: UInt32] = [:]) {
    guard let converter = iconv_open("UTF-32LE", name), converter != iconv_t(bitPattern: -1) else { return nil }
    defer { iconv_close(converter) }
    var scalars = [UInt32](repeating: 0, count: 1 << 16)
    for lead in 0x81...0xFE {
      for trail in 0x40...0xFE {
        let bytes = prefix + [UInt8(lead), UInt8(trail)]
        if let scalar = Self.scalar(of: bytes, converter) { scalars[lead << 8 | trail] = scalar }
      }
    }
    for (place, scalar) in corrections { scalars[Int(place)] = scalar }
    self.scalars = scalars
    supplements = []
  }

  /// The scalar that bytes decode to; nil unless it is exactly one.
  private static func scalar(of bytes: [UInt8], _ converter: iconv_t) -> UInt32? {
    var input = bytes.map(CChar.init(bitPattern:))
    var output = [CChar](repeating: 0, count: 16)
    iconv(converter, nil, nil, nil, nil)
    return input.withUnsafeMutableBufferPointer { input in
      output.withUnsafeMutableBufferPointer { output in
        var (source, sourceCount) = (input.baseAddress, input.count)
        var (target, targetCount) = (output.baseAddress, output.count)
        guard iconv(converter, &source, &sourceCount, &target, &targetCount) != -1,
          iconv(converter, nil, nil, &target, &targetCount) != -1, output.count - targetCount == 4
        else { return nil }
        return UnsafeRawBufferPointer(output).loadUnaligned(as: UInt32.self)
      }
    }
  }

  private static func lookUp(_ table: [UInt32], _ lead: UInt8, _ trail: UInt8) -> UInt32? {
    guard !table.isEmpty else { return nil }
    let scalar = table[Int(lead) << 8 | Int(trail)]
    return scalar == 0 ? nil : scalar
  }
}
