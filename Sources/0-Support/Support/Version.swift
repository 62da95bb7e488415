/// The release that this program is.
public enum Version {
  public static let current = "0.1.0"
}
