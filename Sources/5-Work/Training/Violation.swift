import Support

/// Why something cannot be, in words that may follow a name.
struct Violation: CustomStringConvertible {
  var problem: String
  /// What to do.
  var hint: String?
  var code: ForgeError.Code

  init(_ problem: String, hint: String? = nil, code: ForgeError.Code) {
    (self.problem, self.hint, self.code) = (problem, hint, code)
  }

  var description: String { error().description }

  /// The refusal, whose sentence begins with `prefix`.
  func error(_ prefix: String = "") -> ForgeError { .badInput(prefix + problem, hint: hint, code: code) }
}
