internal import COpenMPI

/// The process's heap: the threshold above which `malloc` returns freed memory to the system.
enum ProcessHeap {
  /// Returns every freed block of 128 KiB or more to the system at once, for the rest of the process's life.
  ///
  /// By default glibc takes larger and larger blocks from its heaps once one of their size was freed (up to 32 MiB),
  /// and its heaps, of which each thread has one, keep them: a rank that had saved ten checkpoints held 25 MiB more
  /// than it used (mallopt(3), M_MMAP_THRESHOLD). Call it before other threads start.
  static func returnFreedBlocks() { forge_return_freed_blocks(128 << 10) }
}
