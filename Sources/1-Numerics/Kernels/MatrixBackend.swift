/// The library that computes matrix products.
public enum MatrixBackend: String, Sendable, CaseIterable {
  /// Our own kernels: the same bits on every CPU.
  case native
  /// OpenBLAS, whose bits depend on the CPU's kernel family.
  case openblas
}
