import Foundation

/// The tables of Unicode normalisation: decompositions, combining classes and compositions.
///
/// `tokenizers` has those of Unicode 9.0: later characters are unassigned there, so they neither change nor combine.
/// The data of all others have not changed since. No character of planes 4 to 16 changes or combines.
struct NormalizationTables: Sendable {
  static let canonical = NormalizationTables { $0.decomposedStringWithCanonicalMapping }
  static let compatibility = NormalizationTables { $0.decomposedStringWithCompatibilityMapping }

  /// The range in `parts` of a scalar's decomposition, by its value; empty when it has none.
  private var decompositions = [Range<Int32>](repeating: 0..<0, count: Int(CharacterClasses.limit))
  private var parts: [UInt32] = []
  /// The canonical combining classes.
  private var classes = [UInt8](repeating: 0, count: Int(CharacterClasses.limit))
  /// From two scalars, as one number, to their composite.
  private var compositions: [UInt64: UInt32] = [:]
  /// Whether a scalar is the second of such a pair.
  private var isSecond = [Bool](repeating: false, count: Int(CharacterClasses.limit))

  private init(decompose: (String) -> String) {
    var composites: [(scalar: UInt32, parts: [UInt32])] = []
    for value in 0xA0..<CharacterClasses.limit {
      guard let scalar = Unicode.Scalar(value), Self.isKnown(scalar) else { continue }
      classes[Int(value)] = scalar.properties.canonicalCombiningClass.rawValue
      let text = String(scalar)
      let decomposition = decompose(text).unicodeScalars.map(\.value)
      if decomposition != [value] {
        decompositions[Int(value)] = Int32(parts.count)..<Int32(parts.count + decomposition.count)
        parts += decomposition
      }
      let canonical = text.decomposedStringWithCanonicalMapping.unicodeScalars.map(\.value)
      // A character that is excluded from composition is not its own composed form.
      let comesBack = text.precomposedStringWithCanonicalMapping.unicodeScalars.elementsEqual(text.unicodeScalars)
      if canonical.count > 1, comesBack { composites.append((value, canonical)) }
    }
    // The last part of each combines with the composite of the parts before it.
    for (scalar, parts) in composites.sorted(by: { $0.parts.count < $1.parts.count }) {
      let first = composed(Array(parts.dropLast()))
      guard first.count == 1, let second = parts.last else { continue }
      compositions[Self.pair(first[0], second)] = scalar
      isSecond[Int(second)] = true
    }
  }

  /// Whether `scalar` was assigned in Unicode 9.0.
  static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
    guard let age = scalar.properties.age else { return false }
    return age.major <= 9
  }

  /// The decomposition of `text`, with marks in the order of their combining classes.
  func decomposed(_ text: String) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      let value = scalar.value
      if value < CharacterClasses.limit, case let range = decompositions[Int(value)], !range.isEmpty {
        result += parts[Int(range.lowerBound)..<Int(range.upperBound)]
      } else {
        result.append(value)
      }
    }
    var position = 0
    while position < result.count {
      var end = position
      while end < result.count, combiningClass(result[end]) != 0 { end += 1 }
      if end - position > 1 { sortMarks(&result[position..<end]) }
      position = end + 1
    }
    return result
  }

  /// The composition of decomposed scalars: every pair with a composite is joined.
  func composed(_ scalars: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(scalars.count)
    var starter: Int?
    var lastClass: UInt8 = 0
    for value in scalars {
      let markClass = combiningClass(value)
      if let starter, starter == result.count - 1 || lastClass < markClass,
        value < CharacterClasses.limit, isSecond[Int(value)],
        let composite = compositions[Self.pair(result[starter], value)]
      {
        result[starter] = composite
        continue
      }
      if markClass == 0 { starter = result.count }
      lastClass = markClass
      result.append(value)
    }
    return result
  }

  /// Sorts marks by their combining classes, stably.
  private func sortMarks(_ marks: inout ArraySlice<UInt32>) {
    let sorted = marks.enumerated().sorted { left, right in
      (combiningClass(left.element), left.offset) < (combiningClass(right.element), right.offset)
    }
    for (place, mark) in zip(marks.indices, sorted) { marks[place] = mark.element }
  }

  private func combiningClass(_ value: UInt32) -> UInt8 {
    value < CharacterClasses.limit ? classes[Int(value)] : 0
  }

  private static func pair(_ first: UInt32, _ second: UInt32) -> UInt64 { UInt64(first) << 32 | UInt64(second) }
}
