import Foundation
import Support

/// The type of a setting: how its value is read, validated and described.
public struct SettingType<Value: Sendable>: Sendable {
  let form: SettingForm
  /// A placeholder value while settings are only listed.
  let blank: Value
  /// - Parameter hint: the end of a message about a number out of range.
  /// Converts a default to its value in a configuration.
  let read: @Sendable (_ section: ConfigurationSection, _ key: String, _ hint: String?) throws -> Value?
  let write: @Sendable (Value) -> ConfigurationNode.Value
}

extension SettingType<Bool> {
  public static var boolean: SettingType {
    SettingType(form: .boolean, blank: false, read: { section, key, _ in try section.boolean(key) }) { .boolean($0) }
  }
}

extension SettingType where Value: BoundedNumber {
  private static func bounded(
    _ form: SettingForm, _ bounds: Bounds<Value>,
    _ read: @escaping @Sendable (ConfigurationSection, _ key: String) throws -> Value?
  ) -> SettingType {
    SettingType(
      form: form, blank: .zero,
      read: { section, key, hint in
        let number = try read(section, key)
        if let number { try bounds.check(number, key, in: section, hint: hint) }
        return number
      }
    ) { $0.value }
  }
}

extension SettingType<Int> {
  public static func integer(_ bounds: Bounds<Int>) -> SettingType {
    bounded(.integer(bounds), bounds) { try $0.integer($1) }
  }
}

extension SettingType<Double> {
  public static func number(_ bounds: Bounds<Double>) -> SettingType {
    bounded(.number(bounds), bounds) { try $0.number($1) }
  }
}

extension SettingType<[Double]> {
  /// A list of `count` numbers.
  ///
  /// - Parameter words: the count in messages: `two`.
  public static func numbers(_ count: Int, _ words: String, _ bounds: Bounds<Double>) -> SettingType {
    SettingType(
      form: .list(.number(bounds), count: count), blank: Array(repeating: 0, count: count),
      read: { section, key, _ in
        let numbers = try section.numbers(key)
        if let numbers, numbers.count != count || !numbers.allSatisfy(bounds.contains) {
          throw section.error(key, "must be \(words) numbers\(bounds.words.dropFirst(Double.noun.count))")
        }
        return numbers
      }
    ) { numbers in .sequence(numbers.map { ConfigurationNode($0.value, at: .init(source: "")) }) }
  }
}

extension SettingType<String> {
  public static var text: SettingType {
    SettingType(form: .text, blank: "", read: { section, key, _ in try section.string(key) }) { .string($0) }
  }
}

extension SettingType<String> {
  /// The path of a file or folder. Shell variables and `~` are not expanded, and are rejected unless a file of that
  /// name exists.
  public static var path: SettingType {
    SettingType(
      form: .text, blank: "",
      read: { section, key, _ in
        let path = try section.string(key)
        if let path, let part = shellExpansion(in: path), access(path, F_OK) != 0 {
          throw section.error(
            key,
            "is '\(path)', and '\(part)' is not expanded in a configuration",
            hint: "write it out, or give the path on the command line, where the shell expands it: --set")
        }
        return path
      }
    ) { .string($0) }
  }

  /// A shell expansion in a path: `~` at the beginning, `$NAME` or `${NAME}`.
  private static func shellExpansion(in path: String) -> String? {
    if path == "~" || path.hasPrefix("~/") { return "~" }
    guard let match = path.firstMatch(of: /\$(\{[A-Za-z_][A-Za-z_0-9]*\}|[A-Za-z_][A-Za-z_0-9]*)/) else { return nil }
    return String(match.output.0)
  }
}

extension SettingType<Int?> {
  /// `auto`, which reads as nil, or an integer.
  ///
  /// - Parameter meaning: the integer in messages: `the number of ranks`.
  public static func automatic(or bounds: Bounds<Int>, _ meaning: String) -> SettingType {
    let word = "auto"
    return SettingType(
      form: .either(.choice([word]), .integer(bounds)), blank: nil,
      read: { section, key, _ in
        guard section.contains(key) else { return nil }
        if (try? section.string(key)) == word { return .some(nil) }
        guard let number = try? section.integer(key), bounds.contains(number) else {
          throw section.error(key, "must be '\(word)' or \(meaning)")
        }
        return number
      }
    ) { $0?.value ?? .string(word) }
  }
}

extension SettingType where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  public static var choice: SettingType { choice() }

  /// One of an enumeration's raw values.
  ///
  /// - Parameter refusal: the message about another name.
  public static func choice(refusal: String = "is not supported") -> SettingType {
    let cases = Array(Value.allCases)
    guard let blank = cases.first else { preconditionFailure("an enumeration without cases") }
    let names = cases.map(\.rawValue)
    return SettingType(
      form: .choice(names), blank: blank,
      read: { section, key, _ in
        guard let name = try section.string(key) else { return nil }
        guard let choice = Value(rawValue: name) else {
          let choices = names.count == 2 ? names.joined(separator: " or ") : "one of \(names.joined(separator: ", "))"
          throw section.error(key, "'\(name)' \(refusal)", hint: "use \(choices)")
        }
        return choice
      }
    ) { .string($0.rawValue) }
  }
}

extension SettingType {
  /// A list of mappings, each read by `element`, which declares their settings.
  ///
  /// - Parameter refusal: the message about an empty list.
  public static func list<Element: Sendable>(
    refusal: String, of element: @escaping @Sendable (SettingsReader) throws -> Element
  ) -> SettingType where Value == [Element] {
    let settings = SettingsReader.settings(of: element)
    return SettingType(
      form: .sections(settings), blank: [],
      read: { section, key, _ in
        guard let entries = try section.sections(key) else { return nil }
        guard !entries.isEmpty else { throw section.error(key, refusal) }
        return try entries.map { entry in
          try entry.finish(alsoAllowed: Set(settings.map(\.key)))
          return try element(SettingsReader(entry))
        }
      }
    ) { _ in .sequence([]) }
  }
}
