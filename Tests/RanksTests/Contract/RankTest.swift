import MPI

/// A test that all ranks run together.
struct RankTest: Sendable {
  let name: String
  let body: @Sendable (Communicator, inout Expectations) throws -> Void

  init(_ name: String, _ body: @escaping @Sendable (Communicator, inout Expectations) throws -> Void) {
    self.name = name
    self.body = body
  }
}

/// Collects the expectations that failed on this rank.
struct Expectations {
  private(set) var failures: [String] = []

  mutating func expect(_ condition: Bool, _ message: @autoclosure () -> String) {
    if !condition { failures.append(message()) }
  }

  mutating func expectEqual<T: Equatable>(_ actual: T, _ expected: T, _ message: @autoclosure () -> String = "") {
    if actual != expected { failures.append("\(message()): \(actual) is not \(expected)") }
  }
}
