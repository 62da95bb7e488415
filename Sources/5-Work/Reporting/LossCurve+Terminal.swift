extension LossCurve {
  /// The curve as lines of text: training in braille dots (two by four to a character), validation as `●`.
  ///
  /// - Parameters:
  ///   - columns: the width of the whole picture, labels included.
  ///   - rows: the height of the plot without its axis.
  public func terminal(columns: Int = 80, rows: Int = 16) -> String {
    let (steps, losses) = axes
    let labelWidth = losses.ticks.map { losses.label($0).count }.max() ?? 0
    let width = max(columns - labelWidth - 2, 10)
    var canvas = BrailleCanvas(columns: width, rows: max(rows, 3))
    func dot(_ point: Point) -> (x: Int, y: Int) {
      (
        Int((steps.position(Double(point.step)) * Double(canvas.width - 1)).rounded()),
        Int(((1 - losses.position(point.loss)) * Double(canvas.height - 1)).rounded())
      )
    }
    let curve = Self.thinned(training, to: canvas.width)
    for (point, next) in zip(curve, curve.dropFirst()) { canvas.line(from: dot(point), to: dot(next)) }
    for point in curve { canvas.set(dot(point)) }
    for point in validation { canvas.mark("●", at: dot(point)) }

    var labels = [String](repeating: "", count: canvas.rows)
    for tick in losses.ticks {
      labels[Int(((1 - losses.position(tick)) * Double(canvas.rows - 1)).rounded())] = losses.label(tick)
    }
    var lines = ["\(Self.padded("loss", labelWidth))   ⣀⡠⠤ training" + (validation.isEmpty ? "" : "   ● validation")]
    for (label, row) in zip(labels, canvas.lines) {
      lines.append("\(Self.padded(label, labelWidth)) \(label.isEmpty ? "│" : "┤")\(row)")
    }
    lines.append(Self.padded("", labelWidth) + " └" + String(repeating: "─", count: width))
    lines.append(Self.padded("", labelWidth) + "  " + Self.tickLine(steps, width: width))
    return lines.joined(separator: "\n") + "\n"
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// The step numbers under the axis, as many as fit, and the axis' name at the end.
  private static func tickLine(_ axis: Axis, width: Int) -> String {
    let name = " step"
    var line = ""
    for tick in axis.ticks {
      let label = axis.label(tick)
      let start = Int((axis.position(tick) * Double(width - 1)).rounded()) - label.count / 2
      guard start > line.count || line.isEmpty, start + label.count + name.count <= width else { continue }
      line += String(repeating: " ", count: max(0, start - line.count)) + label
    }
    return line + String(repeating: " ", count: max(0, width - line.count - name.count)) + name
  }
}

/// A canvas of braille characters, with eight dots in each.
struct BrailleCanvas {
  let columns: Int
  let rows: Int
  private var cells: [UInt8]
  private var marks: [Int: Character] = [:]

  init(columns: Int, rows: Int) {
    self.columns = columns
    self.rows = rows
    cells = [UInt8](repeating: 0, count: columns * rows)
  }

  /// In dots.
  var width: Int { columns * 2 }
  var height: Int { rows * 4 }

  /// The bits of a braille character's dots, by row and column.
  private static let bits: [[UInt8]] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]]

  mutating func set(_ dot: (x: Int, y: Int)) {
    guard let cell = cell(dot) else { return }
    cells[cell] |= Self.bits[dot.y % 4][dot.x % 2]
  }

  /// Puts a character in place of the dots of its cell.
  mutating func mark(_ character: Character, at dot: (x: Int, y: Int)) {
    if let cell = cell(dot) { marks[cell] = character }
  }

  mutating func line(from start: (x: Int, y: Int), to end: (x: Int, y: Int)) {
    let count = max(abs(end.x - start.x), abs(end.y - start.y), 1)
    for index in 0...count {
      set((start.x + (end.x - start.x) * index / count, start.y + (end.y - start.y) * index / count))
    }
  }

  var lines: [String] {
    (0..<rows).map { row in
      String(
        (row * columns..<(row + 1) * columns).map { cell in
          marks[cell] ?? (cells[cell] == 0 ? " " : Character(Unicode.Scalar(0x2800 + UInt32(cells[cell])) ?? " "))
        })
    }
  }

  private func cell(_ dot: (x: Int, y: Int)) -> Int? {
    guard (0..<width).contains(dot.x), (0..<height).contains(dot.y) else { return nil }
    return dot.y / 4 * columns + dot.x / 2
  }
}
