/// The parser's stack of open elements, estimated from above by a scan of the tags, to bound the parser's depth and
/// work.
///
/// A rule of the HTML standard's tree construction is followed where the parser surely closes an element; where that
/// depends on more than the tags, the element stays.
struct OpenTags {
  private struct Entry {
    let name: TagName
    let traits: TagTraits
    /// Whether the children are SVG or MathML.
    let isForeign: Bool
    /// Formatting elements that the parser reopens within this one.
    var reopened = 0
  }

  /// Formatting elements (the list of active formatting elements) within one cell, caption, template or the like.
  private struct Formatting {
    /// Those that were started and not ended, by name.
    var counts: [TagName: Int] = [:]
    var active = 0
    /// Those among them that are on the stack now.
    var onStack = 0
  }

  private var entries: [Entry] = []
  private var counts: [TagName: Int] = [:]
  private var outer: [Formatting] = []
  private var formatting = Formatting()
  private var reopenedOnStack = 0
  /// How many elements the parser has reopened; other work is counted as elements that take as long.
  private(set) var reopenedCount = 0
  private var noBreakCount = 0

  /// The depth of the next element.
  var depth: Int { entries.count + reopenedOnStack }

  /// Whether the next element is SVG or MathML.
  var isForeign: Bool { entries.last?.isForeign ?? false }

  func isOpen(_ name: TagName) -> Bool { counts[name, default: 0] > 0 }

  /// Whether the innermost open element of a name is SVG or MathML.
  func isForeign(_ name: TagName) -> Bool {
    isOpen(name) && entries.last { $0.name == name }?.isForeign ?? false
  }

  /// Whether the parser ignores a start tag here.
  func isIgnored(_ name: TagName, _ traits: TagTraits) -> Bool {
    if isOpen(Self.template) { return false }
    if name == Self.form { return isOpen(name) }
    return traits.contains(.tablePart) && !isOpen(Self.table)
  }

  /// Reopens the formatting elements that are still active, as the parser does before text and elements.
  mutating func reopenFormatting() {
    let missing = formatting.active - formatting.onStack
    guard missing > 0, !entries.isEmpty else { return }
    reopenedCount += missing
    entries[entries.count - 1].reopened += missing
    reopenedOnStack += missing
    formatting.onStack = formatting.active
  }

  /// Closes the elements that a start tag closes.
  mutating func prepare(for name: TagName, _ traits: TagTraits) {
    if isForeign {
      guard traits.contains(.breaksOut) else { return }
      while isForeign { pop() }
    }
    if traits.contains(.closesParagraph), let place = last([Self.paragraph], within: 16, upTo: .special) {
      pop(to: place)
    }
    if traits.contains(.endsItself), formatting.counts[name, default: 0] > 0 { endFormatting(name) }
    if traits.contains(.heading), entries.last?.traits.contains(.heading) ?? false { pop() }
    switch name {
    case Self.button:
      if let place = last([name], within: 64, upTo: .barrier) { pop(to: place) }
    case Self.option:
      popTop(of: [Self.option])
    case Self.optionGroup:
      popTop(of: [Self.option])
      if isOpen(Self.select) { popTop(of: [Self.optionGroup]) }
    case Self.select:
      if let place = last([name], within: 3, upTo: .special) { pop(to: place) }
    case Self.rubyText, Self.rubyParenthesis:
      if isOpen(Self.ruby) { popTop(of: [Self.rubyText, Self.rubyParenthesis]) }
    case Self.listItem:
      if let place = last([name], within: 64, upTo: .special, through: Self.itemBlocks) { pop(to: place) }
    case Self.definition, Self.term:
      let names = [Self.definition, Self.term]
      if let place = last(names, within: 64, upTo: .special, through: Self.itemBlocks) { pop(to: place) }
    case Self.table:
      // Where a part of a table is expected, another table ends the one that is open.
      if entries.last.map({ $0.name == name || $0.traits.contains(.tablePart) && !$0.traits.contains(.marker) })
        ?? false,
        let place = last([name], within: 64, upTo: .tableScope)
      {
        pop(to: place)
      }
    default:
      guard traits.contains(.tablePart) else { return }
      // Cells end with the next row, rows with the next part of the table.
      for level in Self.tableLevels {
        if let place = last(level, within: 64, upTo: .tableScope) { pop(to: place) }
        if level.contains(name) { break }
      }
    }
  }

  mutating func push(_ name: TagName, _ traits: TagTraits) {
    let isForeign =
      traits.contains(.foreignRoot) || self.isForeign && !traits.contains(.integrationPoint)
    entries.append(Entry(name: name, traits: traits, isForeign: isForeign))
    counts[name, default: 0] += 1
    if traits.contains(.formatting) {
      formatting.counts[name, default: 0] += 1
      formatting.active += 1
      formatting.onStack += 1
    }
    if name == Self.noBreak {
      // Libgumbo's time for one grows with their number.
      noBreakCount += 1
      reopenedCount += noBreakCount / 64
    }
    if traits.contains(.marker) {
      outer.append(formatting)
      formatting = Formatting()
    }
  }

  mutating func end(_ name: TagName, _ traits: TagTraits) {
    if traits.contains(.formatting), formatting.counts[name, default: 0] > 0 { return endFormatting(name) }
    guard isOpen(name) else { return }
    let stop: TagTraits =
      if isForeign || traits.contains(.endsInScope) {
        .barrier
      } else if traits.contains(.tableScope) || traits.contains(.tablePart) || name == Self.caption {
        .tableScope
      } else {
        .special
      }
    guard let place = last([name], within: 1024, upTo: stop) else { return }
    if name == Self.form {
      // What is open within a form stays open.
      counts[name, default: 1] -= 1
      let reopened = entries.remove(at: place).reopened
      if place > 0 { entries[place - 1].reopened += reopened } else { reopenedOnStack -= reopened }
    } else {
      pop(to: place)
    }
  }

  /// Ends a formatting element. The parser closes it and keeps the blocks within open (the adoption agency algorithm);
  /// here it stays open with them.
  private mutating func endFormatting(_ name: TagName) {
    formatting.counts[name, default: 1] -= 1
    formatting.active -= 1
    if let place = last([name], within: 64, upTo: .special) { pop(to: place) }
    formatting.onStack = min(formatting.onStack, formatting.active)
  }

  private static let (paragraph, form, button, select) = (
    TagName("p"), TagName("form"), TagName("button"), TagName("select")
  )
  private static let noBreak = TagName("nobr")
  private static let (option, optionGroup) = (TagName("option"), TagName("optgroup"))
  private static let (ruby, rubyText, rubyParenthesis) = (TagName("ruby"), TagName("rt"), TagName("rp"))
  private static let (listItem, definition, term) = (TagName("li"), TagName("dd"), TagName("dt"))
  private static let itemBlocks = [TagName("div"), TagName("p"), TagName("address")]
  private static let (table, caption, template) = (TagName("table"), TagName("caption"), TagName("template"))
  private static let tableLevels = [
    [TagName("td"), TagName("th")], [TagName("tr")], [TagName("tbody"), TagName("thead"), TagName("tfoot")],
  ]

  /// The index of the innermost open element with one of the names, among the innermost `limit`, and above the first
  /// with a trait of `stop` that is not in `passed`.
  private func last(
    _ names: [TagName], within limit: Int, upTo stop: TagTraits, through passed: [TagName] = []
  ) -> Int? {
    guard names.contains(where: isOpen) else { return nil }
    for place in entries.indices.reversed().prefix(limit) {
      let entry = entries[place]
      if names.contains(entry.name) { return place }
      if !entry.traits.isDisjoint(with: stop), !passed.contains(entry.name) { return nil }
      if !entry.isForeign, entry.traits.contains(.integrationPoint), stop != .tableScope { return nil }
    }
    return nil
  }

  private mutating func popTop(of names: [TagName]) {
    if let top = entries.last, names.contains(top.name) { pop() }
  }

  private mutating func pop(to place: Int) {
    while entries.count > place { pop() }
  }

  private mutating func pop() {
    guard let entry = entries.popLast() else { return }
    counts[entry.name, default: 1] -= 1
    reopenedOnStack -= entry.reopened
    if entry.traits.contains(.marker) { formatting = outer.popLast() ?? Formatting() }
    let gone = (entry.traits.contains(.marker) ? 0 : entry.reopened) + (entry.traits.contains(.formatting) ? 1 : 0)
    formatting.onStack = max(0, formatting.onStack - gone)
  }
}
