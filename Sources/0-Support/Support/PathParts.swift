extension String {
  /// The parent folder of a path: `a/b` gives `a`, a bare name `.`, and the root itself.
  ///
  /// Trailing slashes are ignored.
  public var parentFolder: String {
    var path = self[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    guard let slash = path.lastIndex(of: "/") else { return "." }
    path = path[..<slash]
    while path.hasSuffix("/") { path.removeLast() }
    return path.isEmpty ? "/" : String(path)
  }
}
