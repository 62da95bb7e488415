import Foundation

/// The process table of this node, from `/proc`.
public enum ProcessTable {
  public enum State: Sendable, Equatable { case gone, stopped, alive }

  /// The name of this machine.
  public static var hostName: String {
    var bytes = [CChar](repeating: 0, count: 256)
    gethostname(&bytes, bytes.count - 1)
    return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A hash of where process ids are valid: this boot of this machine, and this process-id namespace.
  public static let place: UInt64 = {
    let boot = contents("/proc/sys/kernel/random/boot_id") ?? ""
    var link = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/ns/pid", &link, link.count)
    let namespace = link.prefix(max(0, length)).map { UInt8(bitPattern: $0) }
    return FNV1a.hash(Array((hostName + boot).utf8) + namespace)
  }()

  /// The program name of the parent process; empty if unknown.
  public static var parentName: String {
    (contents("/proc/\(getppid())/comm") ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// The start time of a process, in clock ticks since boot; with the process id it is unique.
  public static func start(of pid: Int32) -> UInt64? {
    fields(of: pid).flatMap { $0.count > 19 ? UInt64($0[19]) : nil }
  }

  /// - Parameter start: the start time of the process, since its id may have been reused.
  public static func state(of pid: Int32, start: UInt64) -> State {
    guard let fields = fields(of: pid), fields.count > 19, UInt64(fields[19]) == start else { return .gone }
    return switch fields[0] {
    case "Z", "X", "x": .gone
    case "T", "t": .stopped
    default: .alive
    }
  }

  /// The fields after the program's name in `/proc/PID/stat`: the state first.
  private static func fields(of pid: Int32) -> [Substring]? {
    guard let line = contents("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")") else { return nil }
    return line[line.index(after: end)...].split(separator: " ")
  }

  private static func contents(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}
