/// The element type (dtype) of a tensor in a safetensors file; the raw value is the format's name.
public enum ScalarType: String, Sendable, Codable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float8E4M3 = "F8_E4M3"
  case float8E5M2 = "F8_E5M2"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint64 = "U64"
  case uint32 = "U32"
  case uint16 = "U16"
  case uint8 = "U8"
  case bool = "BOOL"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
    }
  }

  /// Whether it can be converted to and from `Float`.
  public var convertsToFloat: Bool { self == .float32 || self == .float16 || self == .bfloat16 }
}

// MARK: - Conversions, in integer arithmetic so that the processor's flush-to-zero setting cannot change a value

/// The float whose upper 16 bits are `bits`.
@inline(__always)
package func floatFromBFloat16(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

/// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
@inline(__always)
func bfloat16FromFloat(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  let rounded = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
  let quietNaN = UInt16(truncatingIfNeeded: bits >> 16) | 0x0040
  return bits & 0x7FFF_FFFF > 0x7F80_0000 ? quietNaN : rounded
}

/// Rounds to nearest, ties to even; overflow becomes infinity, and a NaN stays a (quiet) NaN.
@inline(__always)
func float16FromFloat(_ value: Float) -> UInt16 {
  let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
  let magnitude = value.bitPattern & 0x7FFF_FFFF
  if magnitude > 0x7F80_0000 { return sign | 0x7E00 | UInt16(truncatingIfNeeded: magnitude >> 13) & 0x03FF }
  if magnitude >= UInt32(127 + 16) << 23 { return sign | 0x7C00 }
  if magnitude >= UInt32(127 - 14) << 23 {
    let rebased = magnitude - (UInt32(127 - 15) << 23)
    return sign | UInt16(truncatingIfNeeded: (rebased + 0xFFF + ((rebased >> 13) & 1)) >> 13)
  }
  // Below 2⁻¹⁴ a half is subnormal: a multiple of 2⁻²⁴.
  let shift = 126 - (magnitude >> 23)
  if shift > 24 { return sign }
  let significand = (magnitude & 0x007F_FFFF) | 0x0080_0000
  let half = UInt32(1) << (shift - 1)
  return sign | UInt16(truncatingIfNeeded: (significand + half - 1 + ((significand >> shift) & 1)) >> shift)
}

/// The exact value of an IEEE half-precision number.
@inline(__always)
package func floatFromFloat16(_ bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let magnitude = UInt32(bits & 0x7FFF)
  let normal = (magnitude << 13) &+ (UInt32(127 - 15) << 23)
  let infinityOrNaN = (magnitude << 13) | 0x7F80_0000
  let subnormal = (Float(magnitude) * 0x1p-24).bitPattern
  let result = magnitude >= 0x7C00 ? infinityOrNaN : (magnitude < 0x0400 ? subnormal : normal)
  return Float(bitPattern: sign | result)
}

/// Converts `destination.count` stored elements, which need not be aligned, to `Float`.
func decodeFloats(
  _ source: UnsafeRawBufferPointer, as type: ScalarType, into destination: UnsafeMutableBufferPointer<Float>
) {
  precondition(source.count == destination.count * type.byteCount)
  switch type {
  case .float32:
    UnsafeMutableRawBufferPointer(destination).copyMemory(from: source)
  case .bfloat16:
    for index in destination.indices {
      destination[index] = floatFromBFloat16(source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
    }
  case .float16:
    for index in destination.indices {
      destination[index] = floatFromFloat16(source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
    }
  default:
    preconditionFailure("\(type.rawValue) is not read as Float")
  }
}

/// Converts floats to stored elements, rounding to nearest even.
func encodeFloats(
  _ source: UnsafeBufferPointer<Float>, as type: ScalarType, into destination: UnsafeMutableRawBufferPointer
) {
  precondition(destination.count == source.count * type.byteCount)
  switch type {
  case .float32:
    destination.copyMemory(from: UnsafeRawBufferPointer(source))
  case .bfloat16:
    for index in source.indices {
      destination.storeBytes(of: bfloat16FromFloat(source[index]), toByteOffset: index * 2, as: UInt16.self)
    }
  case .float16:
    for index in source.indices {
      destination.storeBytes(of: float16FromFloat(source[index]), toByteOffset: index * 2, as: UInt16.self)
    }
  default:
    preconditionFailure("\(type.rawValue) is not written from Float")
  }
}
