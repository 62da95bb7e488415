import ArgumentParser
import Checkpoints
import Foundation
import Support

struct CheckpointPruneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune", abstract: "Delete all checkpoints of a run but those that are to be kept.",
    discussion: """
      Refused (exit code 75) while a job is writing to the run. Nothing is deleted before one of the newest that stay was
      read back and found sound.
      """)

  @Argument(help: ArgumentHelp("A run directory or its checkpoints folder.", valueName: "run-directory"))
  var source: String

  @Option(help: "How many of the newest stay.")
  var keepLast = 2

  @Option(help: ArgumentHelp("Multiples of this many steps stay.", valueName: "steps"))
  var keepEvery: Int?

  @Option(help: "How many of those with the lowest validation losses stay.")
  var keepBest = 0

  @Flag(help: "Only say what would be deleted.")
  var dryRun = false

  @Option(help: "How many chunks are read at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  func run() throws {
    try CheckpointCommand.check(threads: threads)
    guard keepLast > 0 else { throw ForgeError.badInput("--keep-last must be at least 1, not \(keepLast)") }
    guard (keepEvery ?? 1) > 0 else { throw ForgeError.badInput("--keep-every must be at least 1") }
    guard keepBest >= 0 else { throw ForgeError.badInput("--keep-best must not be negative") }
    let folder = try CheckpointCommand.folder(source)
    let retention = Retention(keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest)
    guard !dryRun else {
      let names = folder.condemned(by: retention).map { CheckpointFolder.name(step: $0) } + folder.leftovers()
      return try StandardOutput.write(names.isEmpty ? "nothing to delete\n" : names.map { $0 + "\n" }.joined())
    }
    let lock = try RunLock(of: folder)
    try withExtendedLifetime(lock) {
      let leftovers = folder.leftovers()
      try folder.recover()
      let condemned = folder.condemned(by: retention)
      var complaints: [String] = []
      let verified = try folder.prune(
        keepLast: keepLast, keepEvery: keepEvery, keepBest: keepBest, threads: threads
      ) { complaints.append($0.description) }
      try StandardOutput.write(complaints.map { $0 + "\n" }.joined())
      guard verified != nil || condemned.isEmpty else {
        throw ForgeError.badInput("nothing was deleted, because none of the newest that would stay is sound")
      }
      let names = leftovers + condemned.map { CheckpointFolder.name(step: $0) }
      try StandardOutput.write(names.isEmpty ? "nothing to delete\n" : names.map { "deleted \($0)\n" }.joined())
    }
  }
}
