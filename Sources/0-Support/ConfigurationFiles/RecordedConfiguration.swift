import Support

/// The configuration that the run to continue was started with: values that new runs may not have are accepted from it,
/// with a warning.
public final class RecordedConfiguration {
  private let leaves: [String: String]
  /// A warning for every accepted value that new runs may not have.
  public private(set) var warnings: [String] = []

  public init(_ node: ConfigurationNode) { leaves = node.leaves }

  /// Turns `error` into a warning, and returns true, if the run was started with this value of the dotted key.
  func tolerates(_ node: ConfigurationNode?, at key: String, _ error: ForgeError) -> Bool {
    guard let now = node?.leaves, !now.isEmpty else { return false }
    let isSame = now.allSatisfy { name, value in leaves[name.isEmpty ? key : "\(key).\(name)"] == value }
    guard isSame else { return false }
    warnings.append("warning: \(error); the run was started with it, and goes on")
    return true
  }
}
