import Support

/// The limit of a command's `--threads`.
enum ThreadLimit {
  /// The max number of threads: above any machine's number of processors.
  static let maximum = 4096

  /// Validates a number of threads.
  ///
  /// - Throws: `ForgeError.badInput` for a number out of range.
  static func check(_ threads: Int) throws {
    guard (1...maximum).contains(threads) else {
      throw ForgeError.badInput("--threads must be between 1 and \(maximum), not \(threads)", code: .invalidArgument)
    }
  }
}
