/// Brings a unit's parameters to where a decoder computes, and takes its gradient away.
///
/// A decoder tells when it needs which piece of its layout; whoever keeps the parameters elsewhere can bring them just in
/// time and let them go. When that is in a pass is said by the decoder's ``PassSchedule``.
public protocol ParameterSharding: AnyObject {
  /// Returns when the parameters of `unit` can be read.
  func unshard(_ unit: Int) throws
  /// The parameters of `unit` are not read again until they are acquired.
  func reshard(_ unit: Int) throws
  /// Returns when the sums of the gradient of `unit` can be added to.
  func beginGradient(_ unit: Int) throws
  /// The gradient of `unit` has all of this micro-batch's contribution.
  func endGradient(_ unit: Int) throws
}

/// Everything is here, always.
public final class UnshardedParameters: ParameterSharding {
  public init() {}
  public func unshard(_ unit: Int) {}
  public func reshard(_ unit: Int) {}
  public func beginGradient(_ unit: Int) {}
  public func endGradient(_ unit: Int) {}
}
