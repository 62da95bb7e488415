internal import COpenMPI

/// How long the calling thread works before others get their turn.
public enum ThreadTurns {
  /// For a thread that sleeps, looks and sleeps again. Where another thread computes on its core, Linux lets that one
  /// finish its turn of some milliseconds first, so that every look comes late and other ranks wait for it; one that asks
  /// for short turns (sched_setattr(2), Linux 6.12) comes at once. Its share of the core stays what it was.
  public static func beShort() { forge_set_turn(100_000) }
}
