import Foundation
final class MetricsLog { enum Value { case integer(Int), number(Double), boolean(Bool) }
  let h: FileHandle
  init(path: String, resumingAfter: Int) throws { FileManager.default.createFile(atPath: path, contents: nil); h = FileHandle(forWritingAtPath: path)! }
  func append(_ v: [(String, Value)]) throws { let s = v.map { k, v in switch v { case .integer(let i): "\"\(k)\": \(i)"; case .number(let d): "\"\(k)\": \(d)"; case .boolean(let b): "\"\(k)\": \(b)" } }.joined(separator: ", "); h.write(Data("{\(s)}\n".utf8)) }
}
final class ProgressLine { init(steps: Int, firstStep: Int, log: String) throws {}
  func update(step: Int, loss: Double, tokensPerSecond: Double, peakShare: Double?) { print(step, loss, tokensPerSecond, peakShare ?? 0) }
  func note(_ s: String) { print(s) }
  func finish() {} }
enum StopSignals { static func install() {}; static let requested = false }
