/// Brings a piece's parameters to where a decoder computes, and takes its gradient away.
///
/// A decoder tells when it needs which piece of its layout; whoever keeps the parameters elsewhere can bring them just in
/// time and let them go. When that is in a pass is said by the decoder's ``PassSchedule``.
public protocol ParameterResidence: AnyObject {
  /// Returns when the parameters of `piece` can be read.
  func acquire(_ piece: Int) throws
  /// The parameters of `piece` are not read again until they are acquired.
  func release(_ piece: Int) throws
  /// Returns when the sums of the gradient of `piece` can be added to.
  func beginGradient(_ piece: Int) throws
  /// The gradient of `piece` has all of this micro-batch's contribution.
  func endGradient(_ piece: Int) throws
}

/// Everything is here, always.
public final class LocalResidence: ParameterResidence {
  public init() {}
  public func acquire(_ piece: Int) {}
  public func release(_ piece: Int) {}
  public func beginGradient(_ piece: Int) {}
  public func endGradient(_ piece: Int) {}
}
