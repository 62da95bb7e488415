/// Why a file, or a line of one, gives no document.
public enum SkipReason: String, Sendable, CaseIterable, Codable, CodingKeyRepresentable, Error {
  /// Neither text nor a format that text can be taken from.
  case binary
  /// Nothing but white space.
  case empty
  /// A broken link, or no permission.
  case unreadable
  /// A gzip file, a notebook or a line of JSON that cannot be decoded.
  case damaged
  /// More than ``TextExtractor/maximumByteCount`` bytes.
  case tooLarge = "too_large"
  /// Text in an encoding that nothing tells, or that this machine cannot decode.
  case encoding
  /// A line of JSON Lines without a string of the name that was asked for.
  case noText = "no_text"
  /// What these programs wrote themselves.
  case ownOutput = "own_output"
  /// Named by a `.gitignore`.
  case ignored
  /// Named by `--exclude`.
  case excluded
  /// A folder of a version control system.
  case versionControl = "version_control"
  /// Neither a file nor a folder: a socket, a device.
  case special

  /// Whether text was lost that was to be read, which `--strict` does not allow.
  public var isLoss: Bool {
    switch self {
    case .unreadable, .damaged, .tooLarge, .encoding, .noText: true
    case .binary, .empty, .ownOutput, .ignored, .excluded, .versionControl, .special: false
    }
  }
}
