internal import COpenMPI

/// The scheduler time slice of the calling thread.
public enum ThreadTurns {
  /// Requests time slices of 0.1 ms, for a thread that polls and sleeps. Where another thread computes on its core,
  /// Linux lets that one finish its slice of some milliseconds first, so that every poll is late and other ranks wait
  /// for it; a thread with short slices (sched_setattr(2), Linux 6.12) runs at once. Its share of the core does not
  /// change.
  public static func beShort() { forge_set_turn(100_000) }
}
