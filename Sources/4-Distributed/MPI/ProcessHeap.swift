internal import COpenMPI

/// The process's heap: the size from which `malloc` maps a block, and `free` returns it to the system.
enum ProcessHeap {
  /// Returns every freed block of 128 KiB or more to the system at once, for the rest of the process's life.
  ///
  /// By default glibc raises this threshold to the size of freed blocks (up to 32 MiB), and its arenas, which threads
  /// have of their own, keep freed blocks below it: a rank that had saved ten checkpoints held 25 MiB more than it used
  /// (mallopt(3), `M_MMAP_THRESHOLD`). Call it before other threads start.
  static func returnFreedBlocks() { forge_return_freed_blocks(128 << 10) }
}
