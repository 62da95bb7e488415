extension LossCurve {
  /// The curve as an SVG picture with labelled axes: training as a line, validation as dots.
  public func svg(title: String = "", width: Int = 800, height: Int = 450) -> String {
    let (steps, losses) = axes
    let (left, right, top, bottom) = (64.0, Double(width) - 20, 40.0, Double(height) - 52)
    func x(_ step: Double) -> Double { left + steps.position(step) * (right - left) }
    func y(_ loss: Double) -> Double { bottom - losses.position(loss) * (bottom - top) }
    func place(_ point: Point) -> String { "\(Self.short(x(Double(point.step)))),\(Self.short(y(point.loss)))" }

    var lines = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" \
      font-family="sans-serif" font-size="13" fill="#333">
      """,
      "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#fff\"/>",
      Self.text(title, x: (left + right) / 2, y: 22, anchor: "middle", attributes: "font-size=\"15\""),
    ]
    for tick in losses.ticks {
      lines.append(
        "<path d=\"M\(Self.short(left)) \(Self.short(y(tick)))H\(Self.short(right))\" stroke=\"#ddd\"/>")
      lines.append(Self.text(losses.label(tick), x: left - 8, y: y(tick) + 4, anchor: "end"))
    }
    for tick in steps.ticks {
      lines.append("<path d=\"M\(Self.short(x(tick))) \(Self.short(bottom))v5\" stroke=\"#333\"/>")
      lines.append(Self.text(steps.label(tick), x: x(tick), y: bottom + 20, anchor: "middle"))
    }
    lines.append(
      "<path d=\"M\(Self.short(left)) \(Self.short(top))V\(Self.short(bottom))H\(Self.short(right))\" fill=\"none\" "
        + "stroke=\"#333\"/>")
    lines.append(Self.text("step", x: (left + right) / 2, y: bottom + 40, anchor: "middle"))
    let middle = Self.short((top + bottom) / 2)
    lines.append(
      Self.text(
        "loss (nats per token)", x: 18, y: (top + bottom) / 2, anchor: "middle",
        attributes: "transform=\"rotate(-90 18 \(middle))\""))

    let curve = Self.thinned(training, to: width).map(place).joined(separator: " ")
    lines.append("<polyline points=\"\(curve)\" fill=\"none\" stroke=\"#1f6fb4\" stroke-width=\"1.5\"/>")
    for point in validation {
      lines.append(
        "<circle cx=\"\(Self.short(x(Double(point.step))))\" cy=\"\(Self.short(y(point.loss)))\" r=\"3.5\" fill=\"#d1495b\"/>"
      )
    }
    lines.append(Self.text("— training", x: right - 170, y: top + 8, anchor: "start", attributes: "fill=\"#1f6fb4\""))
    if !validation.isEmpty {
      lines.append(
        Self.text("● validation", x: right - 80, y: top + 8, anchor: "start", attributes: "fill=\"#d1495b\""))
    }
    return (lines + ["</svg>\n"]).joined(separator: "\n")
  }

  private static func text(_ text: String, x: Double, y: Double, anchor: String, attributes: String = "") -> String {
    let escaped = text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    return "<text x=\"\(short(x))\" y=\"\(short(y))\" text-anchor=\"\(anchor)\" \(attributes)>\(escaped)</text>"
  }

  /// A coordinate to a tenth of a pixel.
  private static func short(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
