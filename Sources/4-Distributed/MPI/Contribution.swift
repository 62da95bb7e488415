/// A copy of what one rank contributes to an in-process operation, so that no rank accesses another's memory.
struct Contribution: Sendable {
  /// The signature of the operation, which must be the same on every rank.
  struct Form: Sendable, Equatable, CustomStringConvertible {
    let call: String
    var count: Int?
    var datatype: Datatype?
    var reduction: Reduction?
    var root: Int?

    var description: String {
      let details = [count.map { "\($0) elements" }, datatype.map { "\($0)" }, reduction.map { "\($0)" }]
      return ([call] + details.compactMap(\.self) + (root.map { ["root \($0)"] } ?? [])).joined(separator: ", ")
    }
  }

  /// A rank's arguments to a split.
  struct Intent: Sendable {
    /// Nil for no group.
    let color: Int?
    let key: Int
    /// The name of the group.
    let name: String
  }

  let form: Form
  let intent: Intent?
  let bytes: [UInt8]
  /// The range of `bytes` for each rank; empty when every rank receives all of them.
  let parts: [Range<Int>]

  /// Copies the send buffer of a rank.
  init(_ collective: Collective, _ call: StaticString, rank: Int, ranks: Int) {
    form = collective.form(call)
    intent = nil
    let sent = collective.sent(rank: rank, ranks: ranks)
    bytes = sent.flatMap { Array($0) }
    var end = 0
    parts =
      sent.count == 1
      ? []
      : sent.map { part in
        defer { end += part.count }
        return end..<end + part.count
      }
  }

  init(_ intent: Intent, _ call: StaticString) {
    form = Form(call: "\(call)")
    self.intent = intent
    bytes = []
    parts = []
  }

  /// Calls `body` with the bytes for `rank`.
  func withBytes<Result>(for rank: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    bytes.withUnsafeBytes { body(parts.isEmpty ? $0 : UnsafeRawBufferPointer(rebasing: $0[parts[rank]])) }
  }
}
