internal import COpenMPI

/// A failed MPI operation, or one among in-process ranks, with the MPI function and an error text.
public struct MPIError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The function's name in the MPI standard, such as `MPI_Allreduce`.
  public let call: String
  /// The MPI library's error code; `MPI_ERR_OTHER` among in-process ranks.
  public let code: Int32
  /// The text of `MPI_Error_string` for the code, or the in-process error.
  public let text: String

  /// 70 for a misuse of MPI by this program, 75 for a failure of a machine or a peer.
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

  /// An error among in-process ranks.
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
