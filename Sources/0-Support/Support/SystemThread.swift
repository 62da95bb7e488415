import Foundation

/// A POSIX thread.
///
/// All threads of this package are started here: where a container or `ulimit -u` allows no further thread, one of
/// Foundation's never starts and Dispatch retries for ever.
public struct SystemThread {
  private let handle: pthread_t

  /// Starts a thread that runs `body`, with the scheduling policy and CPU affinity of the caller. It must be joined.
  ///
  /// - Parameters:
  ///   - name: the name in `top -H` and debuggers, cut to 15 bytes.
  ///   - stackBytes: the size of its stack.
  /// - Throws: ``ForgeError`` (try again) when the system starts no further thread.
  public init(
    name: String? = nil, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void
  ) throws(ForgeError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, stackBytes)
    let argument = Unmanaged.passRetained(Work(name: name, body: body))
    var handle = pthread_t()
    let code = pthread_create(
      &handle, &attributes,
      { argument in
        guard let argument else { return nil }
        let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
        if let name = work.name { SystemThread.nameThread(name) }
        work.body()
        return nil
      }, argument.toOpaque())
    pthread_attr_destroy(&attributes)
    guard code == 0 else {
      argument.release()
      throw .tryAgain(
        "the system starts no further thread (\(String(cString: strerror(code))))",
        hint: "use fewer threads, or raise the limit on processes (`ulimit -u`, or the container's)",
        code: .outOfThreads)
    }
    self.handle = handle
  }

  /// Waits for the thread to end.
  public func join() { pthread_join(handle, nil) }

  /// Starts a detached thread, otherwise as ``init(name:stackBytes:_:)``.
  public static func start(
    name: String? = nil, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void
  ) throws(ForgeError) {
    pthread_detach(try SystemThread(name: name, stackBytes: stackBytes, body).handle)
  }

  /// Checks that the system can start `count` threads at once; throws ``ForgeError`` (try again) if not.
  public static func expectRoom(for count: Int) throws(ForgeError) {
    let gate = DispatchSemaphore(value: 0)
    var started: [SystemThread] = []
    defer {
      for _ in started { gate.signal() }
      for thread in started { thread.join() }
    }
    for _ in 0..<count { started.append(try SystemThread(stackBytes: 64 << 10) { gate.wait() }) }
  }

  private final class Work: Sendable {
    let name: String?
    let body: @Sendable () -> Void

    init(name: String?, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// Names the calling thread.
  private static func nameThread(_ name: String) {
    guard let file = fopen("/proc/thread-self/comm", "w") else { return }
    fputs(String(decoding: name.utf8.prefix(15), as: UTF8.self), file)
    fclose(file)
  }
}
