internal import COpenMPI

/// The MPI library that this process is linked to.
public enum LibraryVersion {
  /// Its name and version, such as `Open MPI v4.1.4`; may be called before `MPI_Init`.
  public static var description: String {
    var text = [UInt8](repeating: 0, count: Int(MPI_MAX_LIBRARY_VERSION_STRING))
    var length: Int32 = 0
    let code = text.withUnsafeMutableBytes {
      MPI_Get_library_version($0.bindMemory(to: CChar.self).baseAddress, &length)
    }
    guard code == MPI_SUCCESS else { return "unknown MPI" }
    let sentence = String(decoding: text.prefix(Int(length)), as: UTF8.self)
    return sentence.split(separator: ",").first.map(String.init) ?? sentence
  }
}
