internal import COpenMPI

/// An MPI call that did not succeed, in MPI's own words.
public struct MPIError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The function's name in the MPI standard, such as `MPI_Allreduce`.
  public let call: String
  /// The implementation's error code.
  public let code: Int32
  /// What `MPI_Error_string` says about the code.
  public let text: String

  public var description: String { "\(call) failed: \(text)" }

  /// 70 when this program called MPI wrongly, 75 when a machine or a peer failed.
  public var exitCode: Int32 {
    let misuse = [
      MPI_ERR_ARG, MPI_ERR_BUFFER, MPI_ERR_COMM, MPI_ERR_COUNT, MPI_ERR_OP, MPI_ERR_RANK, MPI_ERR_REQUEST,
      MPI_ERR_ROOT, MPI_ERR_TAG, MPI_ERR_TRUNCATE, MPI_ERR_TYPE,
    ]
    var errorClass = code
    MPI_Error_class(code, &errorClass)
    return misuse.contains(errorClass) ? 70 : 75
  }

  init(call: StaticString, code: Int32) {
    var bytes = [UInt8](repeating: 0, count: Int(MPI_MAX_ERROR_STRING))
    var length: Int32 = 0
    bytes.withUnsafeMutableBytes { buffer in
      _ = MPI_Error_string(code, buffer.assumingMemoryBound(to: CChar.self).baseAddress, &length)
    }
    self.call = "\(call)"
    self.code = code
    self.text = String(decoding: bytes.prefix(Int(length)), as: UTF8.self)
  }
}

/// Throws when `code`, the result of the MPI function `call`, is not `MPI_SUCCESS`.
func check(_ code: Int32, _ call: StaticString) throws(MPIError) {
  guard code == MPI_SUCCESS else { throw MPIError(call: call, code: code) }
}
