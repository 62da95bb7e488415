internal import COpenMPI

/// A type whose values MPI can move between ranks and reduce.
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

/// MPI's name for an element type.
public enum Datatype: Sendable {
  case float, double, uint8, int32, int64, uint64

  var handle: MPI_Datatype {
    switch self {
    case .float: forge_mpi_float()
    case .double: forge_mpi_double()
    case .uint8: forge_mpi_uint8()
    case .int32: forge_mpi_int32()
    case .int64: forge_mpi_int64()
    case .uint64: forge_mpi_uint64()
    }
  }
}

/// How a reduction combines the elements of all ranks.
///
/// Sums of integers wrap around. The order in which floating-point numbers are added is up to the MPI library and
/// changes with the number of ranks, which is why gradients are summed as integers.
public enum Reduction: Sendable {
  case sum, max, min

  var handle: MPI_Op {
    switch self {
    case .sum: forge_mpi_sum()
    case .max: forge_mpi_max()
    case .min: forge_mpi_min()
    }
  }
}
