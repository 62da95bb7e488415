internal import COpenMPI

/// An operation among ranks that did not succeed, in the words of MPI where MPI carries it.
public struct MPIError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The function's name in the MPI standard, such as `MPI_Allreduce`.
  public let call: String
  /// The implementation's error code.
  public let code: Int32
  /// What `MPI_Error_string` says about the code, or what became of ranks in one process.
  public let text: String

  /// 70 when this program called MPI wrongly, 75 when a machine or a peer failed.
  public let exitCode: Int32

  public var description: String { "\(call) failed: \(text)" }

  init(call: StaticString, code: Int32) {
    var bytes = [UInt8](repeating: 0, count: Int(MPI_MAX_ERROR_STRING))
    var length: Int32 = 0
    bytes.withUnsafeMutableBytes { buffer in
      _ = MPI_Error_string(code, buffer.assumingMemoryBound(to: CChar.self).baseAddress, &length)
    }
    let misuse = [
      MPI_ERR_ARG, MPI_ERR_BUFFER, MPI_ERR_COMM, MPI_ERR_COUNT, MPI_ERR_OP, MPI_ERR_RANK, MPI_ERR_REQUEST,
      MPI_ERR_ROOT, MPI_ERR_TAG, MPI_ERR_TRUNCATE, MPI_ERR_TYPE,
    ]
    var errorClass = code
    MPI_Error_class(code, &errorClass)
    self.call = "\(call)"
    self.code = code
    self.text = String(decoding: bytes.prefix(Int(length)), as: UTF8.self)
    exitCode = misuse.contains(errorClass) ? 70 : 75
  }

  /// An operation among ranks of one process that did not succeed; such have no codes.
  init(inProcess call: StaticString, text: String, isMisuse: Bool) {
    self.call = "\(call)"
    self.code = MPI_ERR_OTHER
    self.text = text
    exitCode = isMisuse ? 70 : 75
  }
}

/// Throws when `code`, the result of the MPI function `call`, is not `MPI_SUCCESS`.
func check(_ code: Int32, _ call: StaticString) throws(MPIError) {
  guard code == MPI_SUCCESS else { throw MPIError(call: call, code: code) }
}
