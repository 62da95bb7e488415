public import Kernels
public import Models

/// Token dispatcher: sends the rows of a micro-batch to the ranks of their experts, and the results back, for
/// ``DistributedExperts``.
///
/// Ranks that share the experts of a layer work in micro-steps, each rank with or without a micro-batch: every rank
/// sends rows to the owners of their experts, computes the received ones, and returns the results. The arithmetic of
/// one expert and micro-batch does not depend on where it is done. Rows of local experts are not sent, and are computed
/// while others are in flight; those are sent in chunks, so that one chunk is computed while another is in flight.
///
/// Transfers are started in order and waited for by number. Rows in transfer must not be accessed until then.
public protocol TokenDispatcher: AnyObject {
  /// The experts that this rank owns.
  var localExperts: Range<Int> { get }
  /// Max rows computed on this rank when every rank of the micro-step has `rows`.
  func receiveCapacity(of rows: Int) -> ReceiveCapacity
  /// Starts the exchange of row counts, from which every rank makes its plan. Collective.
  ///
  /// - Parameters:
  ///   - offsets: `[experts + 1]`: expert e has the own rows `offsets[e]..<offsets[e + 1]`.
  ///   - timing: of this rank, for the selection of shadowed experts.
  func beginDispatch(_ offsets: Buffer<Int32>, timing: ExpertTiming) -> TokenDispatch
  /// Starts sending a chunk's own rows, `[own rows, columns]`, to the ranks of their experts, `[received rows,
  /// columns]`.
  func startDispatch(_ chunk: Int, of tokenDispatch: TokenDispatch, from own: Matrix, to received: Matrix) -> Int
  /// Starts returning a chunk's rows to their source ranks.
  func startReturn(_ chunk: Int, of tokenDispatch: TokenDispatch, from received: Matrix, to own: Matrix) -> Int
  /// Whether plans may have shadowed experts, which need memory on their hosts.
  var shadowsExperts: Bool { get }
  /// Starts sending the weights of a plan's shadowed experts to their hosts. Collective, with shadowing.
  ///
  /// - Parameters:
  ///   - experts: `[local experts, expert size]`, of the layer.
  ///   - hosted: `[expert size]`
  func startShadowing(_ tokenDispatch: TokenDispatch, from experts: Buffer<Float>, to hosted: Buffer<Float>) -> Int
  /// Starts returning the gradients of a plan's shadowed experts to their owners. Collective, with shadowing.
  ///
  /// - Parameters:
  ///   - hosted: `[expert size]`
  ///   - shadowed: `[max shadowed, expert size]`, in the order of `plan.shadowed`.
  func startReturningShadowGradient(
    _ tokenDispatch: TokenDispatch, from hosted: Buffer<Float>, to shadowed: Buffer<Float>
  ) -> Int
  /// Whether this transfer and all before it are complete, or one has failed: then `wait` returns or throws at once.
  func isComplete(_ transfer: Int) -> Bool
  /// Waits until this transfer and all before it are complete.
  func wait(for transfer: Int) throws
}
