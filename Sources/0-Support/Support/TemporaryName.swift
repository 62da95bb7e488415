/// Names for what is written beside its place until it is complete.
public enum TemporaryName {
  /// `PATH.partial-` and letters that nobody can foresee. To be created exclusively: what has the name already is not
  /// ours.
  public static func beside(_ path: String) -> String {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    return path + ".partial-" + String((0..<10).map { _ in letters[Int.random(in: 0..<letters.count)] })
  }
}
