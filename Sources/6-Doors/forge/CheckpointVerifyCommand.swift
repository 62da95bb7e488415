import ArgumentParser
import Checkpoints
import Foundation
import Support

struct CheckpointVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Read every byte of one or all checkpoints and name what is damaged.",
    discussion: "Exit code 64 when anything is.")

  @Argument(help: "A run directory, its checkpoints folder or a checkpoint.")
  var source: String

  @Option(help: "How many chunks are read at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  func run() throws {
    try CheckpointCommand.check(threads: threads)
    let paths: [String]
    var complaints: [String] = []
    switch try CheckpointLocation(path: source) {
    case .one(let path): paths = [path]
    case .all(let folder):
      paths = folder.steps().map { folder.path(step: $0) }
      let latest = folder.path + "/latest"
      if FileManager.default.fileExists(atPath: latest) {
        do { _ = try CheckpointLocation(path: latest) } catch { complaints.append("\(error)") }
      }
    }
    var damaged = 0
    for path in paths {
      var found: [String] = []
      let started = ContinuousClock.now
      do {
        let reader = try CheckpointReader(path: path)
        found = reader.damage(threads: threads).map(\.description)
        let seconds = (ContinuousClock.now - started) / .seconds(1)
        if found.isEmpty {
          try StandardOutput.write(
            "\(reader.path): sound, \(reader.chunkCount) chunks, \(CheckpointCommand.size(reader.storedBytes)) in "
              + String(format: "%.2f s\n", seconds))
        }
      } catch let error as ForgeError where error.kind == .badInput {
        found = [error.description]
      }
      damaged += found.isEmpty ? 0 : 1
      complaints += found
    }
    try StandardOutput.write(complaints.map { $0 + "\n" }.joined())
    guard !complaints.isEmpty else { return }
    throw ForgeError.badInput(
      damaged == 0
        ? "'latest' is damaged; the next save replaces it"
        : "\(damaged) of \(paths.count) checkpoints "
          + "\(damaged == 1 ? "is" : "are") damaged")
  }
}
