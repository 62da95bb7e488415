/// The data type of a tensor's elements; the raw value is its name in a manifest. All are stored little-endian.
public enum ElementType: String, Codable, Sendable, CaseIterable {
  case f64, f32, f16, bf16
  case i64, i32, i16, i8
  case u64, u32, u16, u8

  /// Bytes of one element.
  public var width: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8: 1
    }
  }
}

/// A tensor of a checkpoint, by name: a parameter, an optimizer moment, or any other array.
public struct TensorDescription: Codable, Sendable, Equatable {
  public var name: String
  public var dtype: ElementType
  /// Row-major; `[]` is a scalar.
  public var shape: [Int]

  public init(name: String, dtype: ElementType, shape: [Int]) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
  }

  public var elementCount: Int { shape.reduce(1, *) }
}
