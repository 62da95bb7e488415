import Support

/// How many threads a command may be given.
enum ThreadLimit {
  /// More than a machine has processors.
  static let most = 4096

  /// - Throws: `ForgeError.badInput` for a number that cannot be.
  static func check(_ threads: Int) throws {
    guard (1...most).contains(threads) else {
      throw ForgeError.badInput("--threads must be between 1 and \(most), not \(threads)", code: .invalidArgument)
    }
  }
}
