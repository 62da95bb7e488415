/// The roles of a tag in the HTML standard's tree construction, as far as ``MarkupFilter`` needs them.
struct TagTraits: OptionSet, Sendable {
  let rawValue: UInt32

  /// Has no contents.
  static let void = TagTraits(rawValue: 1 << 0)
  /// Reopened after a block that was closed over it (the list of active formatting elements).
  static let formatting = TagTraits(rawValue: 1 << 1)
  /// Its contents are text up to its end tag, and not rendered.
  static let hiddenText = TagTraits(rawValue: 1 << 2)
  /// Its contents are text up to its end tag.
  static let shownText = TagTraits(rawValue: 1 << 3)
  /// A start tag ends an open paragraph.
  static let closesParagraph = TagTraits(rawValue: 1 << 4)
  /// End tags within do not close what is around.
  static let barrier = TagTraits(rawValue: 1 << 5)
  /// A start tag ends foreign content.
  static let breaksOut = TagTraits(rawValue: 1 << 6)
  /// SVG or MathML begins.
  static let foreignRoot = TagTraits(rawValue: 1 << 7)
  /// HTML goes on within foreign content.
  static let integrationPoint = TagTraits(rawValue: 1 << 8)
  /// Formatting of which a start tag ends an open element of the same name.
  static let endsItself = TagTraits(rawValue: 1 << 9)
  /// Only the first start tag counts.
  static let once = TagTraits(rawValue: 1 << 10)
  /// Left out with its end tag.
  static let omitted = TagTraits(rawValue: 1 << 11)
  /// Known to HTML, and not laid out within a line.
  static let block = TagTraits(rawValue: 1 << 12)
  /// End tags of other names do not close it (the standard's special elements, as far as they have contents).
  static let special = TagTraits(rawValue: 1 << 14)
  /// Formatting within is its own (a marker in the list of active formatting elements).
  static let marker = TagTraits(rawValue: 1 << 15)
  /// Its end tag closes whatever is open within, up to a barrier.
  static let endsInScope = TagTraits(rawValue: 1 << 16)
  /// Tags of a table's parts do not look beyond it.
  static let tableScope = TagTraits(rawValue: 1 << 17)
  /// A row, a cell or a group of rows, which has no place outside tables.
  static let tablePart = TagTraits(rawValue: 1 << 18)
  static let heading = TagTraits(rawValue: 1 << 19)
  /// Not fully supported by the parser: see ``StandInElement``.
  static let standIn = TagTraits(rawValue: 1 << 13)
}

/// A tag's name in lower case as a 64-bit key.
struct TagName: Hashable, Sendable {
  private let key: UInt64

  init(_ name: UnsafeBufferPointer<UInt8>) {
    var key: UInt64 = 0
    for byte in name {
      let lower = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
      // Up to eight bytes as they are; a hash of more.
      key = (key << 8 | key >> 56) ^ UInt64(lower)
      if name.count > 8 { key = key &* 0x9E37_79B9_7F4A_7C15 }
    }
    self.key = key
  }

  init(_ name: String) {
    self = Array(name.utf8).withUnsafeBufferPointer { TagName($0) }
  }

  static let traits: [TagName: TagTraits] = {
    let names: [(TagTraits, String)] = [
      (.void, "area base br col embed hr img image input link meta param source track wbr basefont bgsound keygen"),
      (.formatting, "a b big code em font i nobr s small strike strong tt u"),
      (.hiddenText, "script style iframe noembed textarea noframes noscript"),
      (.shownText, "title xmp"),
      (
        .closesParagraph,
        "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer header "
          + "hgroup main menu nav ol p search section summary ul h1 h2 h3 h4 h5 h6 pre listing form li dd dt plaintext "
          + "hr xmp"
      ),
      (
        .block,
        "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer header "
          + "hgroup main menu nav ol p search section summary ul h1 h2 h3 h4 h5 h6 pre listing form li dd dt plaintext "
          + "xmp table caption tr td th tbody thead tfoot legend option optgroup"
      ),
      (.barrier, "html table td th caption template applet marquee object"),
      (
        .breaksOut,
        "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu "
          + "meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var"
      ),
      (.foreignRoot, "svg math"),
      (.integrationPoint, "foreignobject desc title mi mo mn ms mtext annotation-xml"),
      (.endsItself, "a nobr"),
      (.heading, "h1 h2 h3 h4 h5 h6"),
      (
        .special,
        "address applet article aside blockquote body button caption center colgroup dd details dialog dir div dl dt "
          + "fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup html li listing main "
          + "marquee menu "
          + "nav object ol p pre search section select summary table tbody td template tfoot th thead tr ul"
      ),
      (.marker, "td th caption template applet marquee object"),
      (
        .endsInScope,
        "address article aside blockquote button center details dialog dir div dl fieldset figcaption figure footer "
          + "header hgroup listing main menu nav ol pre search section summary ul form p li dd dt h1 h2 h3 h4 h5 h6 "
          + "applet marquee object"
      ),
      (.tableScope, "html table template"),
      (.tablePart, "tr td th tbody thead tfoot"),
      (.once, "html head body"),
      (.omitted, "frameset frame isindex"),
      (.standIn, StandInElement.allCases.map(\.rawValue).joined(separator: " ")),
    ]
    var traits: [TagName: TagTraits] = [:]
    for (trait, names) in names {
      for name in names.split(separator: " ") { traits[TagName(String(name)), default: []].insert(trait) }
    }
    return traits
  }()
}
