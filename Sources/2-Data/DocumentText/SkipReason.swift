/// The reason why a file, or a line of one, is skipped.
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
  /// Text in an undetermined encoding, or in one that this machine cannot decode.
  case encoding
  /// A line of JSON Lines without a string in the text's member.
  case noText = "no_text"
  /// An output of these programs.
  case ownOutput = "own_output"
  /// Matches a `.gitignore`.
  case ignored
  /// Matches `--exclude`.
  case excluded
  /// A folder of a version control system.
  case versionControl = "version_control"
  /// Neither a file nor a folder: a pipe, a socket, a device.
  case special

  /// Whether text that should have been read is lost, which `--strict` rejects.
  public var isLoss: Bool {
    switch self {
    case .unreadable, .damaged, .tooLarge, .encoding, .noText: true
    case .binary, .empty, .ownOutput, .ignored, .excluded, .versionControl, .special: false
    }
  }
}
