import Foundation
import Support

/// Thresholds: by kernel, the minimum fraction of the machine's bound; a JSON file for each CPU kernel family.
struct Thresholds {
  let path: String
  var shares: [String: Double]

  init(path: String, shares: [String: Double]) {
    self.path = path
    self.shares = shares
  }

  /// nil when there is no such file.
  ///
  /// - Throws: `ForgeError.badInput` when its contents are not thresholds.
  init?(path: String) throws {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    guard let shares = try? JSONDecoder().decode([String: Double].self, from: data) else {
      throw ForgeError.badInput(
        "\(path): this is not a JSON object of numbers", hint: "write it again with --write", code: .malformedFile)
    }
    self.init(path: path, shares: shares)
  }

  /// - Throws: `ForgeError.badInput` when the file cannot be written.
  func write() throws {
    let lines = shares.keys.sorted().map { name in
      "  \"\(name)\": " + String(format: "%.3f", shares[name] ?? 0)
    }
    let text = "{\n" + lines.joined(separator: ",\n") + "\n}\n"
    guard FileManager.default.createFile(atPath: path, contents: Data(text.utf8)) else {
      throw ForgeError.badInput("\(path): cannot be written", code: .writeFailed)
    }
  }
}
