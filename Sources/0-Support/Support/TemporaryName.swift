/// Names of temporary files and folders that are renamed when they are complete.
public enum TemporaryName {
  /// `PATH.partial-` and ten random characters. Create it exclusively, since a file of that name may exist.
  public static func beside(_ path: String) -> String {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    return path + ".partial-" + String((0..<10).map { _ in letters[Int.random(in: 0..<letters.count)] })
  }
}
