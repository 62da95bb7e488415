/// The candidate that `key` is most likely a misspelling of, or nil when none is close.
///
/// Close means an ``editDistance(_:_:)`` of at most a third of the key's letters, or 2. Ties go to the alphabetically
/// first candidate.
func nearestKey(to key: String, among candidates: some Collection<String>) -> String? {
  let allowed = max(2, key.count / 3)
  let distances = candidates.map { (distance: editDistance(Array(key.utf8), Array($0.utf8)), key: $0) }
  guard let nearest = distances.min(by: { ($0.distance, $0.key) < ($1.distance, $1.key) }) else { return nil }
  // Not when every letter of a short candidate differs: 'x' is not a misspelling of 'id'.
  return nearest.distance <= allowed && nearest.distance < nearest.key.count ? nearest.key : nil
}

/// The number of insertions, deletions, substitutions and swaps of neighbours that turn `left` into `right`
/// (the optimal string alignment form of the Damerau-Levenshtein distance).
func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
  guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
  var beforePrevious = [Int](repeating: 0, count: right.count + 1)
  var previous = Array(0...right.count)
  for i in 1...left.count {
    var current = [i] + [Int](repeating: 0, count: right.count)
    for j in 1...right.count {
      let substitution = previous[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1)
      current[j] = min(previous[j] + 1, current[j - 1] + 1, substitution)
      if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
        current[j] = min(current[j], beforePrevious[j - 2] + 1)
      }
    }
    (beforePrevious, previous) = (previous, current)
  }
  return previous[right.count]
}
