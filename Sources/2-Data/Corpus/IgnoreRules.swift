import Glibc

/// Ignore patterns in the syntax of `gitignore(5)`.
struct IgnoreRules: Sendable {
  private struct Rule {
    /// The parts between slashes; `**` matches any number of them.
    var parts: [[UInt8]]
    var isNegated: Bool
    var isFolderOnly: Bool
  }

  private var rules: [Rule] = []

  var isEmpty: Bool { rules.isEmpty }

  /// Parses patterns, one a line.
  init(text: [UInt8]) {
    let lines = text.split(separator: UInt8(ascii: "\n"))
    rules = lines.compactMap { Self.rule(Array($0)) }
  }

  init(patterns: [String]) { self.init(text: Array(patterns.joined(separator: "\n").utf8)) }

  /// Whether a path relative to the patterns' folder is ignored; nil when no pattern matches it.
  func isIgnored(_ path: some Collection<UInt8>, isFolder: Bool) -> Bool? {
    guard !rules.isEmpty else { return nil }
    let parts = path.split(separator: UInt8(ascii: "/")).map { Array($0) }
    let rule = rules.last { (isFolder || !$0.isFolderOnly) && Self.matches($0.parts[...], parts[...]) }
    return rule.map { !$0.isNegated }
  }

  private static func rule(_ line: [UInt8]) -> Rule? {
    var pattern = line
    if pattern.last == UInt8(ascii: "\r") { pattern.removeLast() }
    while pattern.last == UInt8(ascii: " "), pattern.dropLast().last != UInt8(ascii: "\\") { pattern.removeLast() }
    guard let first = pattern.first, first != UInt8(ascii: "#") else { return nil }
    let isNegated = first == UInt8(ascii: "!")
    if isNegated { pattern.removeFirst() }
    let isFolderOnly = pattern.last == UInt8(ascii: "/")
    if isFolderOnly { pattern.removeLast() }
    let isAnchored = pattern.contains(UInt8(ascii: "/"))
    let parts = pattern.split(separator: UInt8(ascii: "/")).map { Array($0) }
    guard !parts.isEmpty else { return nil }
    return Rule(parts: isAnchored ? parts : [anyParts] + parts, isNegated: isNegated, isFolderOnly: isFolderOnly)
  }

  private static let anyParts = Array("**".utf8)

  private static func matches(_ pattern: ArraySlice<[UInt8]>, _ path: ArraySlice<[UInt8]>) -> Bool {
    guard let part = pattern.first else { return path.isEmpty }
    if part == anyParts {
      // At the end it matches what is within the folder, but not the folder.
      guard pattern.count > 1 else { return !path.isEmpty }
      return path.indices.contains { matches(pattern.dropFirst(), path[$0...]) }
    }
    guard let name = path.first, matches(glob: part[...], name[...]) else { return false }
    return matches(pattern.dropFirst(), path.dropFirst())
  }

  /// Matches a pattern with `*`, `?`, `[a-z]` and `\` against a name, by `fnmatch(3)`.
  private static func matches(glob: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
    let pattern = glob.map(CChar.init(bitPattern:)) + [0]
    let text = name.map(CChar.init(bitPattern:)) + [0]
    return fnmatch(pattern, text, 0) == 0
  }
}

/// The ignore patterns in effect at a point of a walk: those of the folders around it, the innermost last.
struct IgnoreChain: Sendable {
  private struct Link {
    let rules: IgnoreRules
    /// The path from the patterns' folder to the input, with a slash at its end.
    let prefix: [UInt8]
    /// The length of the path's prefix that the patterns do not match against.
    let hidden: Int
  }

  private var links: [Link] = []

  mutating func append(_ rules: IgnoreRules, prefix: [UInt8] = [], hidden: Int) {
    if !rules.isEmpty { links.append(Link(rules: rules, prefix: prefix, hidden: hidden)) }
  }

  func ignores(_ path: RawPath, isFolder: Bool) -> Bool {
    for link in links.reversed() {
      let relative = link.prefix + path.bytes.dropFirst(link.hidden)
      if let isIgnored = link.rules.isIgnored(relative, isFolder: isFolder) { return isIgnored }
    }
    return false
  }
}
