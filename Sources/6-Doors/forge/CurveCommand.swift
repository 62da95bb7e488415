import ArgumentParser
import Commands

struct CurveCommand: RequestingCommand {
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

  @Option(
    name: .customLong("output"),
    help: ArgumentHelp("Write an SVG picture instead of drawing in the terminal.", valueName: "file.svg"))
  var picture: String?

  @OptionGroup
  var output: OutputOptions

  func request() -> DrawCurve { DrawCurve(source: source, output: picture) }
}
