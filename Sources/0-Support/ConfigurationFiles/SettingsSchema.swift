/// The JSON Schema (draft 2020-12) of the declared settings, for completion and validation in editors.
///
/// It covers every key's type and range; rules among settings are in the reader only.
public struct SettingsSchema {
  private let catalog: SettingsCatalog
  private let title: String

  public init(_ catalog: SettingsCatalog, title: String) {
    self.catalog = catalog
    self.title = title
  }

  public var text: String { document.json() }

  private typealias Member = (key: String, value: ConfigurationNode)

  public var document: ConfigurationNode {
    let sections = catalog.sections.map { ($0.name, schema(of: $0)) }
    return Self.mapping(
      [
        ("$schema", Self.text("https://json-schema.org/draft/2020-12/schema")), ("title", Self.text(title)),
        ("type", Self.text("object")), ("properties", Self.mapping(sections)),
        ("required", Self.texts(catalog.sections.filter(\.isRequired).map(\.name))),
        ("additionalProperties", Self.node(.boolean(false))),
      ])
  }

  // MARK: Sections

  private func schema(of section: SectionDeclaration) -> ConfigurationNode {
    var members = Self.members(of: section.settings, isNullable: !section.isRequired)
    members.insert(("description", Self.text(plainText(section.summary))), at: 0)
    let ignored = section.ignored.map { ($0, Self.mapping([("description", Self.text("Accepted and ignored."))])) }
    if let index = members.firstIndex(where: { $0.key == "properties" }),
      case .mapping(let entries) = members[index].value.value
    {
      members[index].value = Self.mapping(entries.map { ($0.key, $0.node) } + ignored)
    }
    guard let exclusive = section.exclusive else { return Self.mapping(members) }
    // Required keys are required only without the exclusive key.
    let required = members.firstIndex { $0.key == "required" }.map { members.remove(at: $0) }
    let isSet = Self.mapping(
      [
        ("required", Self.texts([exclusive.key])),
        ("properties", Self.mapping([(exclusive.key, Self.mapping([("type", Self.text("string"))]))])),
      ])
    let names = Self.mapping([("enum", Self.texts([exclusive.key] + exclusive.besides))])
    members += [("if", isSet), ("then", Self.mapping([("propertyNames", names)]))]
    if let required { members.append(("else", Self.mapping([required]))) }
    return Self.mapping(members)
  }

  /// The members of a mapping with these settings.
  private static func members(of settings: [SettingDeclaration], isNullable: Bool) -> [Member] {
    let required = settings.filter(\.isRequired).map(\.key)
    var members: [Member] = [
      ("type", isNullable ? texts(["object", "null"]) : text("object")),
      ("properties", mapping(settings.map { ($0.key, schema(of: $0)) })),
    ]
    if !required.isEmpty { members.append(("required", texts(required))) }
    members.append(("additionalProperties", node(.boolean(false))))
    return members
  }

  // MARK: Settings

  private static func schema(of setting: SettingDeclaration) -> ConfigurationNode {
    var members: [Member] = [("description", text(plainText(setting.summary)))]
    switch setting.standard {
    case .required: break
    case .value(let value): members.append(("default", node(value)))
    case .words(let words):
      members[0].value = text("\(plainText(setting.summary)) Default: \(plainText(words)).")
    }
    // Null is the same as no key.
    members += form(setting.form, isNullable: !setting.isRequired)
    return mapping(members)
  }

  private static func form(_ form: SettingForm, isNullable: Bool) -> [Member] {
    func type(_ name: String) -> Member { ("type", isNullable ? texts([name, "null"]) : text(name)) }
    switch form {
    case .boolean: return [type("boolean")]
    // A number or a boolean is read as its original spelling.
    case .text: return [("type", texts(["string", "number", "boolean"] + (isNullable ? ["null"] : [])))]
    case .mapping: return [type("object")]
    case .integer(let bounds): return numeric(bounds, type("integer"), isNullable)
    case .number(let bounds): return numeric(bounds, type("number"), isNullable)
    case .choice(let cases):
      return [("enum", node(.sequence(cases.map(text) + (isNullable ? [node(.null)] : []))))]
    case .list(let element, let count):
      let size = count.map { [("minItems", node(.integer($0))), ("maxItems", node(.integer($0)))] } ?? []
      return [type("array"), ("items", mapping(Self.form(element, isNullable: false)))] + size
    case .sections(let settings):
      let element = mapping(members(of: settings, isNullable: false))
      return [type("array"), ("items", element), ("minItems", node(.integer(1)))]
    case .either(let first, let second):
      let forms = [first, second].map { mapping(Self.form($0, isNullable: false)) }
      let null = isNullable ? [mapping([("type", text("null"))])] : []
      return [("anyOf", node(.sequence(forms + null)))]
    }
  }

  private static func numeric<Number>(_ bounds: Bounds<Number>, _ type: Member, _ isNullable: Bool) -> [Member] {
    var members: [Member] = [type]
    switch bounds.interval {
    case .any: break
    case .positive: members += [("exclusiveMinimum", node(.integer(0)))] + limit(bounds)
    case .atLeast(let least): members += [("minimum", node(least.value))] + limit(bounds)
    case .closed(let range):
      members += [("minimum", node(range.lowerBound.value)), ("maximum", node(range.upperBound.value))]
    case .halfOpen(let range):
      members += [("minimum", node(range.lowerBound.value)), ("exclusiveMaximum", node(range.upperBound.value))]
    }
    guard let exception = bounds.exception else { return members }
    return [("anyOf", node(.sequence([mapping([("const", node(exception.value))]), mapping(members)])))]
  }

  /// The max of a range without an upper end: for an integer that of 64 bits.
  private static func limit<Number>(_ bounds: Bounds<Number>) -> [Member] {
    let largest = bounds.limit?.value ?? (Number.self == Int.self ? .integer(.max) : nil)
    return largest.map { [("maximum", node($0))] } ?? []
  }

  // MARK: Nodes

  private static func node(_ value: ConfigurationNode.Value) -> ConfigurationNode {
    ConfigurationNode(value, at: .init(source: "schema"))
  }

  private static func text(_ text: String) -> ConfigurationNode { node(.string(text)) }

  private static func texts(_ texts: [String]) -> ConfigurationNode { node(.sequence(texts.map(text))) }

  private static func mapping(_ members: [Member]) -> ConfigurationNode {
    node(
      .mapping(members.map { ConfigurationNode.Entry(key: $0.key, location: .init(source: "schema"), node: $0.value) }))
  }
}
