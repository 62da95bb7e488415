#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The address space that the system allows a process.
public enum AddressSpace {
  /// Checks that arenas can be mapped, by mapping and unmapping as much, since `Arena.init` itself cannot throw.
  ///
  /// - Parameter bytes: the size of all arenas together, used or not.
  /// - Throws: `ForgeError.badInput` when the mapping fails.
  public static func check(bytes: Int) throws {
    guard bytes > 0 else { return }
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      throw ForgeError.badInput(
        "the system refuses a process \((bytes + (1 << 20) - 1) >> 20) MiB of memory to map "
          + "(\(String(cString: strerror(errno)))), of which it need not use all",
        hint: "use fewer ranks on a node, raise `ulimit -v`, or set vm.overcommit_memory to 0 or 1", code: .doesNotFit)
    }
    munmap(memory, bytes)
  }
}
