import Foundation
import Reporting
import Support

/// A request to plot a run's loss curve.
public struct DrawCurve: Command {
  /// A run directory or a `metrics.jsonl`; `-` is standard input.
  public var source: String
  /// The SVG file to write; nil plots as text.
  public var output: String?

  public init(source: String, output: String?) { (self.source, self.output) = (source, output) }

  public func run(_ sinks: CommandSinks) throws -> DrawnCurve {
    var isFolder: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: source, isDirectory: &isFolder)
    let path = isFolder.boolValue ? RunDirectory(path: source).metrics : source
    let curve = try LossCurve(InputFile.text(path), named: InputFile.name(of: path))
    if curve.leftOut > 0 {
      sinks.note("\(curve.leftOut) losses are not numbers, or beyond 1e100, and are not drawn")
    }
    if let output {
      let title = URL(filePath: source).lastPathComponent
      do { try Data(curve.svg(title: title).utf8).write(to: URL(filePath: output), options: .atomic) } catch {
        throw ForgeError.badInput(
          "cannot write '\(output)': \(systemReason(of: error))", code: .system(error, else: .writeFailed))
      }
    }
    return DrawnCurve(curve: curve, output: output)
  }
}

/// The loss curve of a run, and its plot.
public struct DrawnCurve: CommandResult {
  public let curve: LossCurve
  /// The SVG file, if one was written.
  public let output: String?

  /// The plot in braille characters; empty if it was written to a file.
  public var text: String { output == nil ? curve.terminal() : "" }

  public var json: JSONLine {
    func points(_ points: [LossCurve.Point]) -> JSONLine {
      .list(points.map { .object([("step", .integer($0.step)), ("loss", .number($0.loss))]) })
    }
    return .object([
      ("training", points(curve.training)), ("validation", points(curve.validation)),
      ("left_out", .integer(curve.leftOut)), ("output", .optional(output)),
    ])
  }
}
