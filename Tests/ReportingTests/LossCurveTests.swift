import Foundation
import FoundationXML
import Support
import Testing

@testable import Reporting

@Suite struct LossCurveTests {
  static let curve = LossCurve(
    training: (1...400).map { .init(step: $0, loss: 2 + 7 * exp(-Double($0) / 80)) },
    validation: [100, 200, 300, 400].map { .init(step: $0, loss: 2.2 + 7 * exp(-Double($0) / 80)) })

  @Test func readsMetrics() throws {
    let metrics = """
      {"step": 1, "loss": 3.5, "grad_norm": 1.0}
      {"step": 2, "loss": null, "skipped": true}
      {"step": 2, "validation_loss": 3.25, "validation_perplexity": 25.79}

      """
    let curve = try LossCurve(Array(metrics.utf8), named: "metrics.jsonl")
    #expect(
      curve
        == LossCurve(training: [.init(step: 1, loss: 3.5)], validation: [.init(step: 2, loss: 3.25)], leftOut: 1))

    let broken = #expect(throws: ForgeError.self) {
      try LossCurve(Array("{\"step\": 1}\nnonsense\n".utf8), named: "metrics.jsonl")
    }
    #expect(broken?.description == "metrics.jsonl:2: not a JSON object with a step and its losses")
    let empty = #expect(throws: ForgeError.self) {
      try LossCurve(Array("{\"step\": 1}\n".utf8), named: "metrics.jsonl")
    }
    #expect(empty?.description == "'metrics.jsonl' has no losses yet")
  }

  @Test func axesHaveRoundTicks() {
    let axis = Axis(from: 2.13, to: 8.9, isRounded: true)
    #expect(axis.range == 2...10 && axis.ticks == [2, 4, 6, 8, 10])
    #expect(axis.ticks.map(axis.label) == ["2", "4", "6", "8", "10"])
    let fine = Axis(from: 0.013, to: 0.049, isRounded: true)
    #expect(fine.ticks.map(fine.label) == ["0.01", "0.02", "0.03", "0.04", "0.05"])
    let steps = Axis(from: 1, to: 400, isRounded: false)
    #expect(steps.range == 1...400 && steps.ticks == [100, 200, 300, 400])
    let single = Axis(from: 3, to: 3, isRounded: true)
    #expect(single.range.contains(3) && single.range.lowerBound < single.range.upperBound)
    #expect(axis.position(4) == 0.25)
  }

  @Test func thinningKeepsTheMean() {
    let thinned = LossCurve.thinned(Self.curve.training, to: 100)
    #expect(thinned.count == 100 && thinned[0].step == 3)
    let mean = { (points: [LossCurve.Point]) in points.reduce(0) { $0 + $1.loss } / Double(points.count) }
    #expect(abs(mean(thinned) - mean(Self.curve.training)) < 1e-12)
  }

  @Test func theTerminalPicture() throws {
    let picture = Self.curve.terminal(columns: 60, rows: 10)
    let lines = picture.split(separator: "\n").map(String.init)
    #expect(lines.count == 13 && lines.allSatisfy { $0.count <= 60 })
    #expect(lines[0].contains("training") && lines[0].contains("● validation"))
    #expect(lines[1].hasPrefix("10 ┤") && lines[10].hasPrefix(" 2 ┤") && lines[12].hasSuffix("step"))
    #expect(picture.filter { $0 == "●" }.count == 5, "four points and the legend")
    // The curve falls: its first dots are near the top left, its last in the bottom row at the right.
    let braille = lines[1...10].map { $0.dropFirst(4).map { ("\u{2801}"..."\u{28FF}").contains($0) || $0 == "●" } }
    #expect(braille[...2].contains { $0.first == true })
    #expect(braille[9].suffix(20).filter { $0 }.count >= 18 && !braille[..<8].contains { $0.suffix(20).contains(true) })
  }

  @Test func aSinglePointIsAPicture() {
    let curve = LossCurve(training: [.init(step: 7, loss: 3)], validation: [])
    #expect(!curve.terminal().contains("validation"))
    #expect(curve.svg().contains("<polyline"))
  }

  @Test func theSVGIsWellFormedAndPutsPointsWhereTheyBelong() throws {
    let svg = Self.curve.svg(title: "a < b & c", width: 800, height: 450)
    let counter = ElementCounter()
    let parser = XMLParser(data: Data(svg.utf8))
    parser.delegate = counter
    #expect(parser.parse())
    #expect(counter.counts["circle"] == 4 && counter.counts["polyline"] == 1)
    for label in ["a &lt; b &amp; c", ">step<", ">loss (nats per token)<", ">10<", ">400<"] {
      #expect(svg.contains(label))
    }
    // The last validation point: right end of the axis, loss 2.247 on an axis from 2 to 10 between y 398 and 40.
    #expect(svg.contains("cx=\"780.0\" cy=\"386.9\""))
  }
}

private final class ElementCounter: NSObject, XMLParserDelegate {
  var counts: [String: Int] = [:]

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    counts[name, default: 0] += 1
  }
}
