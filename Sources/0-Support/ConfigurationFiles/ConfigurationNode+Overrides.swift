import Support

extension ConfigurationNode {
  /// Applies one command-line override.
  ///
  /// `optimizer.learning_rate=3e-4` sets a key (missing sections are created), `data.train.0.weight=2` an item of a
  /// list, and the index one past the end appends. The value is parsed as YAML, so `betas=[0.9, 0.95]` works.
  ///
  /// - Throws: `ForgeError` (bad input) when there is no `=`, the value is not YAML, or the path leads through a value
  ///   that is neither a mapping nor a list.
  public mutating func set(_ assignment: String) throws {
    let source = "--set \(assignment)"
    guard let equals = assignment.firstIndex(of: "=") else {
      throw ForgeError.badInput(
        "\(source): expected KEY=VALUE, for example optimizer.learning_rate=3e-4", code: .invalidArgument)
    }
    let path = assignment[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard path.allSatisfy({ !$0.isEmpty }) else {
      throw ForgeError.badInput("\(source): '\(assignment[..<equals])' is not a key", code: .invalidArgument)
    }
    let text = String(assignment[assignment.index(after: equals)...])
    guard text.contains(where: { !$0.isWhitespace }) else {
      throw ForgeError.badInput(
        "\(source): there is no value after '='", hint: "write null for the default, or '\"\"' for an empty text",
        code: .invalidArgument, keyPath: path.joined(separator: "."))
    }
    var node = try Self.parse(text, source: source)
    node.relocate(to: Location(source: source))
    try set(path[...], to: node, walked: [])
  }

  private mutating func set(_ path: ArraySlice<String>, to node: ConfigurationNode, walked: [String]) throws {
    guard let key = path.first else {
      self = node
      return
    }
    switch value {
    case .null:
      value = .mapping([])
      location = node.location
      try set(path, to: node, walked: walked)
    case .mapping(var entries):
      let index = entries.firstIndex { $0.key == key } ?? entries.endIndex
      if index == entries.endIndex {
        let empty = ConfigurationNode(.null, at: node.location)
        entries.append(Entry(key: key, location: node.location, node: empty))
      }
      try entries[index].node.set(path.dropFirst(), to: node, walked: walked + [key])
      if path.count == 1 { entries[index].location = node.location }
      value = .mapping(entries)
    case .sequence(var items):
      guard let index = Int(key), (0...items.count).contains(index) else {
        let name = walked.joined(separator: ".")
        throw ForgeError.badInput(
          "\(node.location): '\(name)' is a list of \(items.count), which has no item '\(key)'", code: .unknownSetting,
          keyPath: name)
      }
      if index == items.count { items.append(ConfigurationNode(.null, at: node.location)) }
      try items[index].set(path.dropFirst(), to: node, walked: walked + [key])
      value = .sequence(items)
    case .boolean, .integer, .number, .string:
      let name = walked.joined(separator: ".")
      throw ForgeError.badInput(
        "\(node.location): '\(name)' is \(value), which has no key '\(key)'", code: .unknownSetting, keyPath: name)
    }
  }

  /// Sets the location of a whole tree to the command line, which has no line numbers.
  private mutating func relocate(to location: Location) {
    self.location = location
    switch value {
    case .sequence(var items):
      for index in items.indices { items[index].relocate(to: location) }
      value = .sequence(items)
    case .mapping(var entries):
      for index in entries.indices {
        entries[index].location = location
        entries[index].node.relocate(to: location)
      }
      value = .mapping(entries)
    default:
      break
    }
  }
}
