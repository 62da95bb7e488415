/// The token dtype of a Megatron-LM indexed dataset; the raw value is the format's code.
public enum TokenType: UInt8, Sendable {
  case uint8 = 1
  case int8 = 2
  case int16 = 3
  case int32 = 4
  case int64 = 5
  case uint16 = 8

  /// The type that Megatron-LM chooses for a vocabulary.
  public static func smallest(forVocabularySize size: Int) -> TokenType { size < 65_500 ? .uint16 : .int32 }

  /// Bytes of one token.
  public var byteCount: Int {
    switch self {
    case .uint8, .int8: 1
    case .int16, .uint16: 2
    case .int32: 4
    case .int64: 8
    }
  }
}
