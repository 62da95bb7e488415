import Kernels

/// AdamW (Loshchilov & Hutter 2019, "Decoupled weight decay regularization"): two moments per element.
public enum AdamW {
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
}

/// Muon (Jordan et al. 2024): the orthogonalised momentum of a matrix between hidden layers; one moment per element.
public enum Muon {
  public struct Settings: Sendable, Equatable {
    public var momentum: Double
    public var weightDecay: Double
    public var newtonSchulzSteps: Int

    /// The defaults are PyTorch's.
    public init(
      momentum: Double = 0.95, weightDecay: Double = 0.1, newtonSchulzSteps: Int = NewtonSchulz.defaultSteps
    ) {
      self.momentum = momentum
      self.weightDecay = weightDecay
      self.newtonSchulzSteps = newtonSchulzSteps
    }
  }
}

/// The hyperparameters of a run's update rules.
public struct OptimizerSettings: Sendable, Equatable {
  public var adamW: AdamW.Settings
  /// nil where no tensor is updated by Muon.
  public var muon: Muon.Settings?

  public init(adamW: AdamW.Settings, muon: Muon.Settings? = nil) {
    self.adamW = adamW
    self.muon = muon
  }
}

/// The update rule of a tensor.
public enum UpdateRule: Sendable, Equatable {
  case adamW(decays: Bool)
  /// A matrix `[rows, columns]`; weight decay always applies.
  case muon(rows: Int, columns: Int)
}

/// A tensor that an optimizer updates: its range and its rule.
public struct OptimizedTensor: Sendable, Equatable {
  /// Elements of the parameter arena.
  public let range: Range<Int>
  public let rule: UpdateRule

  public init(range: Range<Int>, rule: UpdateRule) {
    if case .muon(let rows, let columns) = rule { precondition(range.count == rows * columns, "a matrix of its shape") }
    self.range = range
    self.rule = rule
  }
}
