import Glibc

/// A monitor: a lock, and a condition variable to wait on for a change while holding it (Hoare 1974).
///
/// What it guards is its owner's, who touches it within `locked` only.
package final class Monitor: Sendable {
  // Made in `init` and destroyed in `deinit`; in between only pthread functions use them, from any thread.
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

  /// Wakes all who wait.
  package func broadcast() { pthread_cond_broadcast(changed) }

  /// Lets go of the lock until somebody calls `broadcast`, or for no reason.
  package func wait() { pthread_cond_wait(changed, mutex) }

  /// The same, but not for longer than so many milliseconds, below a second.
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
