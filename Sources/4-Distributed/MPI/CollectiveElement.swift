/// An element type with an MPI datatype, which can be transferred between ranks and reduced.
///
/// The set is closed: the MPI library must know the representation to add or compare values.
public protocol CollectiveElement: BitwiseCopyable, Sendable {
  static var datatype: Datatype { get }
}

extension Float: CollectiveElement { public static var datatype: Datatype { .float } }
extension Double: CollectiveElement { public static var datatype: Datatype { .double } }
extension UInt8: CollectiveElement { public static var datatype: Datatype { .uint8 } }
extension Int32: CollectiveElement { public static var datatype: Datatype { .int32 } }
extension Int64: CollectiveElement { public static var datatype: Datatype { .int64 } }
extension UInt64: CollectiveElement { public static var datatype: Datatype { .uint64 } }

/// The MPI datatype of an element type.
public enum Datatype: Sendable {
  case float, double, uint8, int32, int64, uint64

  /// Bytes from one element to the next.
  var stride: Int {
    switch self {
    case .uint8: 1
    case .float, .int32: 4
    case .double, .int64, .uint64: 8
    }
  }
}

/// A reduction operation (`MPI_Op`).
///
/// Sums of integers wrap around. The MPI library chooses the order in which floating-point numbers are added, and it
/// changes with the number of ranks, which is why gradients are summed as integers.
public enum Reduction: Sendable {
  case sum, max, min
}
