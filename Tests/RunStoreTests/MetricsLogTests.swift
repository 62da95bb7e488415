import Foundation
import Support
import Testing

@testable import RunStore

@Suite struct MetricsLogTests {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("metrics-\(UUID()).jsonl").path

  private func contents() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  @Test func numbersReadBackToTheSameBits() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let doubles = [
      0.1, 1e-5, 1.0 / 3, Double.leastNonzeroMagnitude, 1.7976931348623157e308, -0.0, 3, 123_456_789.123_456_79,
    ]
    let floats: [Float] = [0.1, 1e-5, 1 / 3, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 16_777_216]
    let log = try MetricsLog(path: path, resumingAfter: 0)
    for value in doubles { try log.append([("step", .integer(1)), ("x", .number(value))]) }
    for value in floats { try log.append([("step", .integer(1)), ("x", .single(value))]) }
    try log.file.synchronize()
    let texts = try contents().split(separator: "\n").map { line in
      try #require(line.split(separator: ": ").last?.dropLast())
    }
    #expect(texts.prefix(doubles.count).map { Double($0)?.bitPattern } == doubles.map(\.bitPattern))
    #expect(texts.suffix(floats.count).map { Float($0)?.bitPattern } == floats.map(\.bitPattern))
    #expect(texts[0] == "0.1" && texts[doubles.count] == "0.1", "the shortest text")
  }

  @Test func linesAreJSON() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let log = try MetricsLog(path: path, resumingAfter: 0)
    try log.append([
      ("step", .integer(1)), ("loss", .number(.nan)), ("grad_norm", .single(.infinity)), ("skipped", .boolean(true)),
      ("note", .string("a \"quoted\"\\\n\tline é")),
    ])
    let object = try JSONSerialization.jsonObject(with: Data(contents().utf8)) as? [String: Any]
    #expect(object?["loss"] is NSNull && object?["grad_norm"] is NSNull)
    #expect(object?["skipped"] as? Bool == true && object?["step"] as? Int == 1)
    #expect(object?["note"] as? String == "a \"quoted\"\\\n\tline é")
    #expect(try contents().hasPrefix("{\"step\": 1, \"loss\": null, "))
  }

  @Test func resumingDropsWhatIsBeyondTheStepAndWhatACrashCutShort() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let kept = "{\"step\": 1, \"loss\": 3.5}\n{\"step\": 2, \"loss\": 3.25}\n{\"step\": 2, \"validation_loss\": 3.5}\n"
    try (kept + "{\"step\": 3, \"loss\": 3.0}\n{\"step\": 4, \"lo").write(
      toFile: path, atomically: true, encoding: .utf8)
    let log = try MetricsLog(path: path, resumingAfter: 2)
    #expect(try contents() == kept)
    try log.append([("step", .integer(3)), ("loss", .number(2.5))])
    #expect(try contents() == kept + "{\"step\": 3, \"loss\": 2.5}\n")
    #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
    _ = try MetricsLog(path: path, resumingAfter: 0)
    #expect(try contents() == "")
  }

  @Test func anUnwritableFileIsAnError() {
    let error = #expect(throws: ForgeError.self) { try MetricsLog(path: "/nonexistent/m.jsonl", resumingAfter: 0) }
    #expect(error?.description == "cannot open '/nonexistent/m.jsonl': No such file or directory")
    #expect(error?.exitCode == 75)
  }
}
