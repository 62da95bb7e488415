import ArgumentParser
import Foundation
import Reporting
import Support

struct CurveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "curve",
    abstract: "Draw a run's losses in the terminal or as an SVG picture.",
    discussion: """
      EXAMPLES
        forge curve runs/quickstart
        forge curve runs/quickstart --output loss.svg
      """)

  @Argument(
    help: ArgumentHelp(
      "A run directory, which holds metrics.jsonl, or such a file; - for standard input.", valueName: "run-directory"))
  var source: String

  @Option(help: ArgumentHelp("Write an SVG picture instead of drawing in the terminal.", valueName: "file.svg"))
  var output: String?

  func run() throws {
    var isFolder: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: source, isDirectory: &isFolder)
    let path = isFolder.boolValue ? RunDirectory(path: source).metrics : source
    let curve = try LossCurve(TokenizerCommand.readText(path), named: TokenizerCommand.name(of: path))
    if curve.leftOut > 0 {
      let note = "\(curve.leftOut) losses are not numbers, or beyond 1e100, and are not drawn"
      FileHandle.standardError.write(Data("forge: \(note)\n".utf8))
    }
    guard let output else { return try StandardOutput.write(curve.terminal()) }
    let title = URL(filePath: source).lastPathComponent
    do { try Data(curve.svg(title: title).utf8).write(to: URL(filePath: output), options: .atomic) } catch {
      throw ForgeError.badInput("cannot write '\(output)': \(systemReason(of: error))")
    }
  }
}
