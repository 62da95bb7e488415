import Glibc

/// A monitor: a lock with a condition variable (Hoare 1974).
///
/// Its owner accesses the guarded state within `locked` only.
package final class Monitor: Sendable {
  // Initialised in `init` and destroyed in `deinit`; in between only pthread functions use them, from any thread.
  nonisolated(unsafe) private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  nonisolated(unsafe) private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  package func locked<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Wakes all waiting threads.
  package func broadcast() { pthread_cond_broadcast(changed) }

  /// Releases the lock until `broadcast` is called, or until a spurious wake-up. Call it within `locked`.
  package func wait() { pthread_cond_wait(changed, mutex) }

  /// As `wait()`, for at most `milliseconds`, which are below a second.
  package func wait(milliseconds: Int) {
    var end = timespec()
    clock_gettime(CLOCK_REALTIME, &end)
    end.tv_nsec += milliseconds * 1_000_000
    if end.tv_nsec >= 1_000_000_000 {
      end.tv_nsec -= 1_000_000_000
      end.tv_sec += 1
    }
    pthread_cond_timedwait(changed, mutex, &end)
  }
}
