import Glibc

/// A thread of the operating system (POSIX threads), which may have none left to give: a container's process limit is
/// reached sooner than its memory.
public struct SystemThread {
  private let handle: pthread_t

  /// Starts a thread that runs `body`; nil when the system gives none. It must be joined.
  public init?(_ body: @escaping @Sendable () -> Void) {
    let work = Unmanaged.passRetained(Work(body))
    var handle = pthread_t()
    let status = pthread_create(
      &handle, nil,
      { context in
        if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() }
        return nil
      }, work.toOpaque())
    guard status == 0 else {
      work.release()
      return nil
    }
    self.handle = handle
  }

  /// Waits for the thread's end.
  public func join() { pthread_join(handle, nil) }

  /// Starts a thread that nobody joins; returns whether the system gave one.
  public static func startDetached(_ body: @escaping @Sendable () -> Void) -> Bool {
    guard let thread = SystemThread(body) else { return false }
    pthread_detach(thread.handle)
    return true
  }

  private final class Work {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
