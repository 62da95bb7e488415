/// The open elements of a page, as far as a scan of its tags can tell: an estimate of the parser's stack that bounds its
/// depth and its work.
struct OpenTags {
  private struct Entry {
    let name: TagName
    let traits: TagTraits
    /// Whether the children are SVG or MathML.
    let isForeign: Bool
    /// Formatting elements that the parser opens again within this one.
    var reopened = 0
  }

  private var entries: [Entry] = []
  private var counts: [TagName: Int] = [:]
  /// Formatting elements that were begun and not ended.
  private var active = 0
  /// Those among them that are on the stack now.
  private var activeOnStack = 0
  private var reopenedOnStack = 0
  /// How many elements the parser has made by itself.
  private(set) var reopenedCount = 0

  /// How deep the next element will be.
  var depth: Int { entries.count + reopenedOnStack }

  /// Whether the next element is SVG or MathML.
  var isForeign: Bool { entries.last?.isForeign ?? false }

  func isOpen(_ name: TagName) -> Bool { counts[name, default: 0] > 0 }

  /// Whether the innermost open element of a name is SVG or MathML.
  func isForeign(_ name: TagName) -> Bool {
    isOpen(name) && entries.last { $0.name == name }?.isForeign ?? false
  }

  /// Formatting that is still active is opened again before text and elements.
  mutating func reopenFormatting() {
    let missing = active - activeOnStack
    guard missing > 0, !entries.isEmpty else { return }
    reopenedCount += missing
    entries[entries.count - 1].reopened += missing
    reopenedOnStack += missing
    activeOnStack = active
  }

  /// Closes what a start tag closes.
  mutating func prepare(for name: TagName, _ traits: TagTraits) {
    if isForeign {
      guard traits.contains(.breaksOut) else { return }
      while isForeign { pop() }
    }
    if traits.contains(.closesParagraph), let place = last(Self.paragraph, within: 16, upTo: .block) { pop(to: place) }
    if traits.contains(.replacesItself), isOpen(name), let place = last(name, within: 64, upTo: .barrier) {
      if traits.contains(.formatting) { active = max(0, active - 1) }
      pop(to: place)
    }
    for family in Self.families where family.contains(name) {
      // Cells end with the next row, rows with the next part of the table.
      for other in family {
        if let place = last(other, within: 64, upTo: .barrier, but: family) { pop(to: place) }
        if other == name { break }
      }
    }
  }

  mutating func push(_ name: TagName, _ traits: TagTraits) {
    let isForeign =
      traits.contains(.foreignRoot) || self.isForeign && !traits.contains(.integrationPoint)
    entries.append(Entry(name: name, traits: traits, isForeign: isForeign))
    counts[name, default: 0] += 1
    if traits.contains(.formatting) {
      active += 1
      activeOnStack += 1
    }
  }

  mutating func end(_ name: TagName, _ traits: TagTraits) {
    if traits.contains(.formatting) {
      guard active > 0 else { return }
      active -= 1
      // The parser takes it out from under the blocks within.
      guard let place = last(name, within: 64, upTo: .block) else {
        activeOnStack = min(activeOnStack, active)
        return
      }
      pop(to: place)
      activeOnStack = min(activeOnStack, active)
    } else if isOpen(name), let place = last(name, within: 1024, upTo: .barrier) {
      pop(to: place)
    }
  }

  private static let paragraph = TagName("p")
  private static let families = [
    ["td", "th", "tr", "tbody", "thead", "tfoot"], ["li"], ["dd", "dt"], ["option", "optgroup"],
    ["rt", "rp", "rb", "rtc"],
  ].map { $0.map { TagName($0) } }

  private static let listNames = ["ul", "ol", "menu", "dir", "dl"].map { TagName($0) }

  /// The place of the innermost open element of a name, among so many and above the first of a kind.
  private func last(_ name: TagName, within limit: Int, upTo stop: TagTraits, but family: [TagName] = []) -> Int? {
    guard isOpen(name) else { return nil }
    let isItem = !family.isEmpty
    for place in entries.indices.reversed().prefix(limit) {
      let entry = entries[place]
      if entry.name == name { return place }
      if entry.traits.contains(stop), !family.contains(entry.name) { return nil }
      if isItem, Self.listNames.contains(entry.name) { return nil }
    }
    return nil
  }

  private mutating func pop(to place: Int) {
    while entries.count > place { pop() }
  }

  private mutating func pop() {
    guard let entry = entries.popLast() else { return }
    counts[entry.name, default: 1] -= 1
    reopenedOnStack -= entry.reopened
    activeOnStack = max(0, activeOnStack - entry.reopened - (entry.traits.contains(.formatting) ? 1 : 0))
  }
}
