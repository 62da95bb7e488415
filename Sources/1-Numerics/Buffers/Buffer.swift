import Support

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A non-owning view of a range of an arena.
///
/// `Buffer` and `Matrix` are the package's unsafe handles, valid while the `Arena` they came from is alive. Kernels
/// dereference `base`; other modules use subscripts, and `pointer` where docs/architecture.md lists it.
///
/// Sendable without checking: the thread team's tasks write disjoint ranges of a buffer, which the compiler cannot
/// verify.
public struct Buffer<Element: BitwiseCopyable>: @unchecked Sendable {
  public let base: UnsafeMutablePointer<Element>
  public let count: Int

  @inlinable
  public init(base: UnsafeMutablePointer<Element>, count: Int) {
    self.base = base
    self.count = count
  }

  /// The sub-range `range`, in elements.
  @inlinable
  public subscript(range: Range<Int>) -> Buffer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the buffer")
    return Buffer(base: base + range.lowerBound, count: range.count)
  }

  @inlinable
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "index outside the buffer")
      return base[index]
    }
    nonmutating set {
      precondition(index >= 0 && index < count, "index outside the buffer")
      base[index] = newValue
    }
  }

  /// The first `count` elements.
  @inlinable
  public func prefix(_ count: Int) -> Buffer { self[0..<count] }

  @inlinable
  public func fill(_ value: Element) {
    UnsafeMutableBufferPointer(start: base, count: count).update(repeating: value)
  }

  @inlinable
  public func copy(from other: Buffer) {
    precondition(count == other.count, "copy between buffers of different sizes")
    base.update(from: other.base, count: count)
  }

  /// For interfaces that take pointers: files, MPI.
  @inlinable
  public var pointer: UnsafeMutableBufferPointer<Element> { UnsafeMutableBufferPointer(start: base, count: count) }

  public func array() -> [Element] { Array(UnsafeBufferPointer(start: base, count: count)) }
}

extension Buffer<Float> {
  /// The buffer as a row-major `[rows, columns]` matrix.
  @inlinable
  public func matrix(_ rows: Int, _ columns: Int) -> Matrix {
    precondition(rows * columns <= count, "matrix larger than its buffer")
    return Matrix(base: base, rows: rows, columns: columns, stride: columns)
  }
}

/// A row-major `[rows, columns]` view with `stride` elements from one row to the next.
public struct Matrix: @unchecked Sendable {  // as Buffer
  public let base: UnsafeMutablePointer<Float>
  public let rows: Int
  public let columns: Int
  public let stride: Int

  @inlinable
  public init(base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
    self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  @inlinable
  public func rows(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows outside the matrix")
    return Matrix(base: base + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride)
  }

  /// Copies all elements; both matrices must be contiguous.
  @inlinable
  public func copy(from other: Matrix) {
    precondition(rows == other.rows && columns == other.columns && stride == columns && other.stride == columns)
    base.update(from: other.base, count: rows * columns)
  }

  @inlinable
  public func columns(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns, "columns outside the matrix")
    return Matrix(base: base + range.lowerBound, rows: rows, columns: range.count, stride: stride)
  }
}

/// An arena: one contiguous, zero-filled allocation for one role (parameters, moments, activations, …).
///
/// Pages come from the operating system at the first touch, so untouched ranges take no memory: an arena may be laid
/// out for the whole model, or for the maximum, and hold only what is used. Large arenas ask for huge pages. Sendable
/// without checking: it only owns the memory, whose ranges are shared as `Buffer`.
public final class Arena<Element: BitwiseCopyable>: @unchecked Sendable {
  public let buffer: Buffer<Element>
  private let bytes: Int

  /// - Parameters:
  ///   - count: elements; 0 is allowed.
  ///   - hugePages: false for an arena of which scattered parts are used, since a huge page is 2 MiB.
  public init(count: Int, hugePages: Bool = true) {
    precondition(count >= 0)
    bytes = max(1, count) * MemoryLayout<Element>.stride
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      endProcess(
        .tryAgain(
          "the system has no \((bytes + (1 << 20) - 1) >> 20) MiB of memory left to map",
          hint: "use a machine with more", code: .outOfMemory))
    }
    if bytes >= 1 << 21 { madvise(memory, bytes, hugePages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) }
    buffer = Buffer(base: memory.bindMemory(to: Element.self, capacity: max(1, count)), count: count)
  }

  deinit { munmap(buffer.base, bytes) }

  public var count: Int { buffer.count }
  public var byteCount: Int { buffer.count * MemoryLayout<Element>.stride }

  /// Asks for huge pages where a range fills them, so that they take no more memory than small ones.
  public func useHugePages(in range: Range<Int>) {
    let memory = UnsafeMutableRawBufferPointer(buffer[range].pointer)
    let (first, last) = Self.pages(of: 1 << 21, in: memory)
    if last > first, let start = memory.baseAddress { madvise(start + first, last - first, MADV_HUGEPAGE) }
  }

  /// The range of whole pages inside some memory, in bytes from its start.
  private static func pages(of size: Int, in memory: UnsafeMutableRawBufferPointer) -> (first: Int, last: Int) {
    let address = Int(bitPattern: memory.baseAddress)
    let first = min(memory.count, (address + size - 1) / size * size - address)
    return (first, max(first, (address + memory.count) / size * size - address))
  }

  /// Returns the whole pages of a range to the operating system; all of the range reads as zero afterwards.
  public func discard(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    let memory = UnsafeMutableRawBufferPointer(buffer[range].pointer)
    guard let start = memory.baseAddress else { return }
    let (first, last) = Self.pages(of: Int(getpagesize()), in: memory)
    memset(start, 0, first)
    memset(start + last, 0, memory.count - last)
    if last > first, madvise(start + first, last - first, MADV_DONTNEED) != 0 { memset(start + first, 0, last - first) }
  }
}
