import Foundation

/// Formats numbers for people.
enum Words {
  /// A size such as `731.5 MB`, in powers of ten.
  static func size(_ bytes: Int) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
    guard let (factor, unit) = units.first(where: { Double(bytes) >= $0.0 }) else { return "\(bytes) B" }
    return String(format: "%.1f ", Double(bytes) / factor) + unit
  }

  /// A percentage such as `86.1 %`; `–` of zero.
  static func percent(_ part: Int, of whole: Int) -> String {
    whole == 0 ? "–" : String(format: "%.1f %%", 100 * Double(part) / Double(whole))
  }

  static func fixed(_ value: Double, digits: Int) -> String { String(format: "%.\(digits)f", value) }
}
