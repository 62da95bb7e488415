import Support

/// Declares and reads the settings of a section: the call that reads a setting is its only declaration.
///
/// ```swift
/// init(_ settings: SettingsReader) throws {
///   sequences = try settings.required("sequences", .integer(.positive), "Sequences in a global batch.")
///   microBatch = try settings.value("micro_batch", .integer(.positive), default: 1, "Sequences in a micro-batch.")
///   try settings.require(sequences % microBatch == 0, "sequences", "is not a multiple of micro_batch")
/// }
/// ```
///
/// ``SettingsCatalog`` makes the same calls without a configuration, to list the declarations. They return placeholder
/// values then, and rules among settings are not evaluated.
public struct SettingsReader {
  private enum Mode {
    /// - Parameter isWritten: false where the configuration leaves the section out.
    case reading(ConfigurationSection, isWritten: Bool)
    case listing(SettingsListing)
  }

  private let mode: Mode

  public init(_ section: ConfigurationSection) { mode = .reading(section, isWritten: true) }

  private init(_ mode: Mode) { self.mode = mode }

  // MARK: Sections

  /// A section with settings of its own.
  public func section(_ name: String, isRequired: Bool = false, _ summary: String) throws -> SettingsReader {
    switch mode {
    case .listing(let listing):
      let child = SettingsListing(SectionDeclaration(name: name, isRequired: isRequired, summary: summary))
      listing.children.append(child)
      return SettingsReader(.listing(child))
    case .reading(let parent, _):
      if let section = try parent.section(name) { return SettingsReader(section) }
      if isRequired { throw parent.error(name, "is missing", code: .missingSetting) }
      let empty = try ConfigurationSection(ConfigurationNode(.null, at: parent.location), path: name)
      return SettingsReader(.reading(empty, isWritten: false))
    }
  }

  /// Whether the configuration has the section.
  public var isWritten: Bool { if case .reading(_, let isWritten) = mode { isWritten } else { false } }

  // MARK: Settings

  /// A required setting.
  public func required<Value>(_ key: String, _ type: SettingType<Value>, _ summary: String) throws -> Value {
    switch mode {
    case .listing(let listing): return listing.add(key, type, default: .required, summary)
    case .reading(let section, _):
      guard let value = try type.read(section, key, nil) else {
        throw section.error(key, "is missing", code: .missingSetting)
      }
      return value
    }
  }

  /// A setting with a default.
  ///
  /// - Parameter words: the description of a default that depends on something else.
  public func value<Value>(
    _ key: String, _ type: SettingType<Value>, default standard: Value, words: String? = nil, _ summary: String
  ) throws -> Value {
    switch mode {
    case .listing(let listing):
      return listing.add(key, type, default: words.map { .words($0) } ?? .value(type.write(standard)), summary)
    case .reading(let section, _): return try type.read(section, key, nil) ?? standard
    }
  }

  /// An optional setting.
  ///
  /// - Parameter absence: the default, in words.
  public func optional<Value>(
    _ key: String, _ type: SettingType<Value>, without absence: String, _ summary: String
  ) throws -> Value? {
    switch mode {
    case .listing(let listing):
      _ = listing.add(key, type, default: .words(absence), summary)
      return nil
    case .reading(let section, _): return try type.read(section, key, "leave it out for \(plainText(absence))")
    }
  }

  /// Settings that are declared elsewhere and read by `read` from the section.
  ///
  /// - Parameters:
  ///   - ignored: keys that are accepted and ignored.
  ///   - exclusive: a key that excludes all others but some.
  public func foreign<Value>(
    _ declarations: [SettingDeclaration], ignored: [String], exclusive: (key: String, besides: [String]),
    _ read: (ConfigurationSection) throws -> Value
  ) rethrows -> Value? {
    switch mode {
    case .listing(let listing):
      listing.declaration.settings += declarations
      listing.declaration.ignored = ignored
      listing.declaration.exclusive = exclusive
      return nil
    case .reading(let section, _): return try read(section)
    }
  }

  // MARK: Rules among settings

  /// Whether the key is present with a value other than null.
  public func contains(_ key: String) -> Bool {
    if case .reading(let section, _) = mode { section.contains(key) } else { false }
  }

  /// Throws `message` about `key` unless the rule holds.
  public func require(
    _ rule: @autoclosure () -> Bool, _ key: String, _ message: @autoclosure () -> String,
    hint: @autoclosure () -> String? = nil, after joint: String = "; ", code: ForgeError.Code = .conflictingSettings
  ) throws {
    guard case .reading(let section, _) = mode, !rule() else { return }
    throw section.error(key, message(), hint: hint(), after: joint, code: code)
  }

  /// As `require`, for what earlier versions accepted: a run that was started with it may continue.
  public func requireOfNewRuns(
    _ rule: @autoclosure () -> Bool, _ key: String, _ message: @autoclosure () -> String,
    hint: @autoclosure () -> String? = nil, code: ForgeError.Code = .conflictingSettings
  ) throws {
    guard case .reading(let section, _) = mode, !rule() else { return }
    try section.refuse(key, message(), hint: hint(), code: code)
  }

  // MARK: Listing

  /// The sections that `read` declares.
  static func sections(of read: (SettingsReader) throws -> Void) -> [SectionDeclaration] {
    listing(of: read).children.map(\.declaration)
  }

  /// The settings that the reader of one section declares.
  static func settings<Value>(of read: (SettingsReader) throws -> Value) -> [SettingDeclaration] {
    listing { _ = try read($0) }.declaration.settings
  }

  private static func listing(of read: (SettingsReader) throws -> Void) -> SettingsListing {
    let listing = SettingsListing(SectionDeclaration(name: "", isRequired: true, summary: ""))
    do { try read(SettingsReader(.listing(listing))) } catch {
      preconditionFailure("settings are listed without a configuration, so reading them cannot fail: \(error)")
    }
    return listing
  }
}

/// Collects a reader's declarations.
private final class SettingsListing {
  var declaration: SectionDeclaration
  var children: [SettingsListing] = []

  init(_ declaration: SectionDeclaration) { self.declaration = declaration }

  func add<Value>(
    _ key: String, _ type: SettingType<Value>, default standard: SettingDeclaration.Default, _ summary: String
  ) -> Value {
    declaration.settings.append(SettingDeclaration(key, type.form, default: standard, summary))
    return type.blank
  }
}
