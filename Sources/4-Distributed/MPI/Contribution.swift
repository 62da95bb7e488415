/// What one rank brings to an operation among ranks of one process: a copy, so that no rank touches another's memory.
struct Contribution: Sendable {
  /// What must be the same on every rank.
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

  /// In which group a rank wants to be.
  struct Wish: Sendable {
    /// Nil for none.
    let color: Int?
    let key: Int
    /// The group's.
    let name: String
  }

  let form: Form
  let wish: Wish?
  let bytes: [UInt8]
  /// The part of `bytes` that is for each rank; empty when all is for everybody.
  let parts: [Range<Int>]

  /// Copies what a rank sends.
  init(_ collective: Collective, _ call: StaticString, rank: Int, ranks: Int) {
    form = collective.form(call)
    wish = nil
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

  init(_ wish: Wish, _ call: StaticString) {
    form = Form(call: "\(call)")
    self.wish = wish
    bytes = []
    parts = []
  }

  /// Gives the bytes for `rank` to `body`.
  func withBytes<Result>(for rank: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    bytes.withUnsafeBytes { body(parts.isEmpty ? $0 : UnsafeRawBufferPointer(rebasing: $0[parts[rank]])) }
  }
}
