public import Kernels
public import Models

/// Moves the rows of a micro-batch to the experts that they chose, and what becomes of them back: the transfers of
/// ``DistributedExperts``.
///
/// Ranks that share the experts of a layer work in rounds, each with a micro-batch of its own or with none: everybody
/// sends rows to the owners of their experts, computes with what arrived, and sends it back. What one expert computes for
/// one micro-batch stays one piece of arithmetic wherever that is. Rows whose expert is on their own rank do not travel,
/// and keep it busy while others do; those travel in chunks, so that one chunk's experts can work while another is on its
/// way.
///
/// Transfers are started in order and waited for by their number. Rows in transfer must not be touched until then.
public protocol TokenDispatcher: AnyObject {
  /// The experts that are computed here.
  var localExperts: Range<Int> { get }
  /// The most rows that are computed with here when every rank of the round has `rows`.
  func receiveCapacity(of rows: Int) -> ReceiveCapacity
  /// Starts to tell all ranks of the round who sends how much to whom. Collective.
  ///
  /// - Parameters:
  ///   - offsets: `[experts + 1]`: expert e chose the own rows `offsets[e]..<offsets[e + 1]`.
  ///   - timing: of this rank, for those who decide how much it is to do.
  func beginDispatch(_ offsets: Buffer<Int32>, timing: ExpertTiming) -> TokenDispatch
  /// Starts to bring the own rows of a chunk, `[own rows, columns]`, to their experts, `[received rows, columns]`.
  func startDispatch(_ chunk: Int, of tokenDispatch: TokenDispatch, from own: Matrix, to received: Matrix) -> Int
  /// Starts to bring a chunk's rows back to where they came from.
  func startReturn(_ chunk: Int, of tokenDispatch: TokenDispatch, from received: Matrix, to own: Matrix) -> Int
  /// Whether plans may have shadows; there is then memory for borrowed experts.
  var shadowsExperts: Bool { get }
  /// Starts to bring the weights of a plan's shadows to their borrowers. Collective, where experts are lent.
  ///
  /// - Parameters:
  ///   - experts: `[local experts, expert size]`, of the layer.
  ///   - hosted: `[expert size]`
  func startShadowing(_ tokenDispatch: TokenDispatch, from experts: Buffer<Float>, to hosted: Buffer<Float>) -> Int
  /// Starts to bring the gradients of a plan's shadows to their lenders. Collective, where experts are lent.
  ///
  /// - Parameters:
  ///   - hosted: `[expert size]`
  ///   - shadowed: `[most shadowed, expert size]`, in the order of `plan.shadowed`.
  func startReturningShadowGradient(
    _ tokenDispatch: TokenDispatch, from hosted: Buffer<Float>, to shadowed: Buffer<Float>
  ) -> Int
  /// Whether this transfer, and all before it, are complete: then waiting for it takes no time.
  func isComplete(_ transfer: Int) -> Bool
  /// Returns when this transfer, and all before it, are complete.
  func wait(for transfer: Int) throws
}
