import Kernels

/// A run of consecutive parameters of which one rank keeps the moments and makes the update.
public struct ParameterShard: Sendable, Equatable {
  /// Elements of the parameter arena.
  public let range: Range<Int>
  /// Where the shard's moments begin in the optimizer's own arenas.
  public let momentOffset: Int

  public init(range: Range<Int>, momentOffset: Int) {
    self.range = range
    self.momentOffset = momentOffset
  }
}

/// AdamW over the shards that this rank owns: two moments an element, decay only where a tensor has it.
///
/// Elements are independent, so how parameters are dealt to ranks does not change a bit.
public final class AdamW {
  public struct Settings: Sendable, Equatable {
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var weightDecay: Double

    public init(beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double) {
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
    }
  }

  /// Parameters that share their weight decay.
  public struct Group: Sendable {
    public let range: Range<Int>
    public let decays: Bool

    public init(range: Range<Int>, decays: Bool) {
      self.range = range
      self.decays = decays
    }
  }

  public let settings: Settings
  public let shards: [ParameterShard]
  private let groups: [(parameters: Range<Int>, moments: Range<Int>, decays: Bool)]
  private let memory: (first: Arena<Float>, second: Arena<Float>)

  /// - Parameters:
  ///   - groups: the tensors of the layout, in order.
  ///   - shards: this rank's, in order.
  public init(settings: Settings, groups: [Group], shards: [ParameterShard]) {
    self.settings = settings
    self.shards = shards
    self.groups = shards.flatMap { shard in
      groups.filter { $0.range.overlaps(shard.range) }.map { group in
        let part = group.range.clamped(to: shard.range)
        let start = shard.momentOffset + part.lowerBound - shard.range.lowerBound
        return (part, start..<start + part.count, group.decays)
      }
    }
    let count = shards.last.map { $0.momentOffset + $0.range.count } ?? 0
    memory = (Arena(count: count), Arena(count: count))
  }

  /// `[owned elements]`: the running means of the gradient and of its square.
  public var first: Buffer<Float> { memory.first.buffer }
  public var second: Buffer<Float> { memory.second.buffer }

  public static func plannedBytes(owned: Int) -> Int { 8 * owned }

  /// Updates this rank's shards.
  ///
  /// - Parameters:
  ///   - step: counted from 1.
  ///   - gradientScale: the clipping factor.
  ///   - sums: exact gradient sums, an element per parameter; read in this rank's shards only.
  public func update(
    step: Int, learningRate: Double, gradientScale: Float, sums: Buffer<Int64>, parameters: Buffer<Float>,
    compute: Compute
  ) {
    for group in groups {
      let numbers = AdamWStep(
        learningRate: learningRate, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
        weightDecay: group.decays ? settings.weightDecay : 0, step: step)
      compute.adamW(
        numbers, gradientScale: gradientScale, accumulator: sums[group.parameters], first: first[group.moments],
        second: second[group.moments], parameters: parameters[group.parameters])
    }
  }
}
