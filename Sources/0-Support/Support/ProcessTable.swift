import Foundation

/// What the kernel says of the processes of this node.
public enum ProcessTable {
  public enum State: Sendable, Equatable { case gone, stopped, alive }

  /// The name of this machine.
  public static var hostName: String {
    var bytes = [CChar](repeating: 0, count: 256)
    gethostname(&bytes, bytes.count - 1)
    return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A number for where process ids mean the same: this boot of this machine, and this process-id namespace.
  public static let place: UInt64 = {
    let boot = contents("/proc/sys/kernel/random/boot_id") ?? ""
    var link = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/ns/pid", &link, link.count)
    let namespace = link.prefix(max(0, length)).map { UInt8(bitPattern: $0) }
    return FNV1a.hash(Array((hostName + boot).utf8) + namespace)
  }()

  /// The name of the program that started this process; empty where the kernel does not tell.
  public static var parentName: String {
    (contents("/proc/\(getppid())/comm") ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// When a process began, in the kernel's ticks since boot; with the id it names the process for ever.
  public static func start(of pid: Int32) -> UInt64? {
    fields(of: pid).flatMap { $0.count > 19 ? UInt64($0[19]) : nil }
  }

  /// - Parameter start: of the process that is meant; another one may have its id by now.
  public static func state(of pid: Int32, start: UInt64) -> State {
    guard let fields = fields(of: pid), fields.count > 19, UInt64(fields[19]) == start else { return .gone }
    return switch fields[0] {
    case "Z", "X", "x": .gone
    case "T", "t": .stopped
    default: .alive
    }
  }

  /// What follows the program's name in `/proc/PID/stat`: the state first.
  private static func fields(of pid: Int32) -> [Substring]? {
    guard let line = contents("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")") else { return nil }
    return line[line.index(after: end)...].split(separator: " ")
  }

  private static func contents(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}
