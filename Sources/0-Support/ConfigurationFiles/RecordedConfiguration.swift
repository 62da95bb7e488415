import Support

/// What a run that continues was started with: values that are refused today count there, with a warning.
public final class RecordedConfiguration {
  private let leaves: [String: String]
  /// A sentence for every value that new runs may not have.
  public private(set) var warnings: [String] = []

  public init(_ node: ConfigurationNode) { leaves = node.leaves }

  /// Takes `error` for a warning if the run was started with this value under the dotted key.
  func tolerates(_ node: ConfigurationNode?, at key: String, _ error: ForgeError) -> Bool {
    guard let now = node?.leaves, !now.isEmpty else { return false }
    let isSame = now.allSatisfy { name, value in leaves[name.isEmpty ? key : "\(key).\(name)"] == value }
    guard isSame else { return false }
    warnings.append("warning: \(error); the run was started with it, and goes on")
    return true
  }
}
