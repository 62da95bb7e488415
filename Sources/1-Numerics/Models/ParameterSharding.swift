/// Fully sharded parameters as a decoder uses them: unshards a unit's parameters before use and reduces its gradient
/// after.
///
/// A decoder calls it for each unit of its ``ParameterLayout``, in the order of its ``PassSchedule``.
public protocol ParameterSharding: AnyObject {
  /// Whether `reshard` releases the memory of a unit's parameters.
  var releasesParameters: Bool { get }
  /// Waits until the parameters of `unit` can be read.
  func unshard(_ unit: Int) throws
  /// Releases the parameters of `unit`, which are not read again until they are unsharded.
  func reshard(_ unit: Int) throws
  /// Waits until the gradient sums of `unit` can be added to.
  func beginGradient(_ unit: Int) throws
  /// Called when the gradient of `unit` has all of this micro-batch's contributions.
  func endGradient(_ unit: Int) throws
}

/// Parameter sharding of a single process: all parameters are always resident.
public final class UnshardedParameters: ParameterSharding {
  public let releasesParameters = false

  public init() {}
  public func unshard(_ unit: Int) {}
  public func reshard(_ unit: Int) {}
  public func beginGradient(_ unit: Int) {}
  public func endGradient(_ unit: Int) {}
}
