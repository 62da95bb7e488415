import ArgumentParser

/// A size argument: `5GB`, `500MB`, `64KB` (powers of ten, as in transformers) or plain bytes.
struct ByteSize: ExpressibleByArgument, CustomStringConvertible {
  var bytes: Int

  private static let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("", 1)]

  init(bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    guard let (suffix, factor) = Self.units.first(where: { argument.uppercased().hasSuffix($0.0) }),
      let value = Double(argument.dropLast(suffix.count)), value > 0, value * Double(factor) < 1e18
    else { return nil }
    bytes = max(1, Int(value * Double(factor)))
  }

  var description: String {
    let (suffix, factor) = Self.units.first { bytes % $0.1 == 0 } ?? ("", 1)
    return "\(bytes / factor)\(suffix)"
  }

  var defaultValueDescription: String { description }
}
