#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The resident memory of this process.
public enum ResidentMemory {
  /// Resident anonymous and shared pages, bytes. Mapped data files do not count: their pages belong to the page cache
  /// and can be evicted. 0 if unknown.
  public static func bytes() -> Int {
    guard let file = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    var kibibytes = 0
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      guard text.hasPrefix("RssAnon:") || text.hasPrefix("RssShmem:") else { continue }
      kibibytes += text.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0
    }
    return kibibytes * 1024
  }
}
