import Kernels
import MPI
import RunConfiguration
import Support

/// Consistency check over ranks: configuration, CPU kernel family, version and program must be the same.
enum RankConsistency {
  /// Collective.
  ///
  /// - Throws: `ForgeError.badInput` that names the first rank that differs from rank 0, or when this machine does not
  ///   use the pinned kernel family.
  static func check(_ configuration: RunConfiguration, _ communicator: Communicator) throws {
    if let pinned = configuration.run.kernelFamily, pinned != KernelFamily.current.name {
      let choices = KernelFamily.choices.isEmpty ? [KernelFamily.current.name] : KernelFamily.choices
      throw ForgeError.badInput(
        "run.kernel_family is '\(pinned)', which this machine cannot run",
        hint: "it can run \(choices.joined(separator: " or "))", code: .unsupportedMachine, keyPath: "run.kernel_family"
      )
    }
    try check(KernelFamily.current.name, communicator, hint: "pin one with run.kernel_family") {
      "uses the CPU kernels '\($1)' and rank 0 '\($0)', which do not give the same bits"
    }
    try check(configuration.source.yaml(), communicator, hint: "give every node the same file") { _, _ in
      "read another configuration than rank 0"
    }
    try check(Version.current, communicator, hint: "install the same") { "runs version \($1) and rank 0 \($0)" }
    try check(ProgramDigest.current(), communicator, hint: "install the same on every node") { _, _ in
      "runs another build of forge-dist than rank 0"
    }
  }

  private static func check(
    _ value: String, _ communicator: Communicator, hint: String, message: (String, String) -> String
  ) throws {
    let reference = String(decoding: try communicator.broadcast(Array(value.utf8), root: 0), as: UTF8.self)
    let mine = value == reference ? communicator.size : communicator.rank
    let first = -(try communicator.allReduce(Int64(-mine), .max))
    guard first < communicator.size else { return }
    let theirs = try communicator.broadcast(Array(value.utf8), root: Int(first))
    throw ForgeError.badInput(
      "rank \(first) " + message(reference, String(decoding: theirs, as: UTF8.self)), hint: hint, code: .ranksDisagree)
  }
}
