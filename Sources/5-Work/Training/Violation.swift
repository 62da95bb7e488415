import Support

/// A validation error without its subject: a predicate that follows a name, such as a setting's, in the message.
struct Violation: CustomStringConvertible {
  var problem: String
  /// The hint: what to do.
  var hint: String?
  var code: ForgeError.Code

  init(_ problem: String, hint: String? = nil, code: ForgeError.Code) {
    (self.problem, self.hint, self.code) = (problem, hint, code)
  }

  var description: String { error().description }

  /// The error `badInput` with the message `prefix` + `problem`.
  func error(_ prefix: String = "") -> ForgeError { .badInput(prefix + problem, hint: hint, code: code) }
}
