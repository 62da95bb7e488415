import Kernels

/// Loshchilov & Hutter 2019, "Decoupled weight decay regularization": two moments an element.
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

/// Jordan et al. 2024: a matrix's momentum, orthogonalised; one moment an element. For matrices between hidden layers.
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

/// The constants of every rule that a run uses.
public struct OptimizerSettings: Sendable, Equatable {
  public var adamW: AdamW.Settings
  /// Nil where no tensor goes by Muon.
  public var muon: Muon.Settings?

  public init(adamW: AdamW.Settings, muon: Muon.Settings? = nil) {
    self.adamW = adamW
    self.muon = muon
  }
}

/// How a tensor is updated.
public enum UpdateRule: Sendable, Equatable {
  case adamW(decays: Bool)
  /// A matrix `[rows, columns]`; it always decays.
  case muon(rows: Int, columns: Int)
}

/// A tensor as an optimizer sees it.
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
