#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// What the system lets a process map.
public enum AddressSpace {
  /// Asks for room and gives it back, so that a run that cannot have its arenas is told before they are made: an `Arena`
  /// itself has nobody to tell.
  ///
  /// - Parameter bytes: of all arenas together, as they are laid out, used or not.
  /// - Throws: `ForgeError.badInput` when the system refuses.
  public static func check(bytes: Int) throws {
    guard bytes > 0 else { return }
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      throw ForgeError.badInput(
        "the system refuses a process \((bytes + (1 << 20) - 1) >> 20) MiB of memory to map "
          + "(\(String(cString: strerror(errno)))), of which it need not use all; use fewer ranks on a node, raise "
          + "`ulimit -v`, or set vm.overcommit_memory to 0 or 1")
    }
    munmap(memory, bytes)
  }
}
