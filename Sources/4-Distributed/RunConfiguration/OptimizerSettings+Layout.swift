public import Models
public import Optimizers

extension OptimizerSettings {
  /// How a tensor is updated: with Muon matrices between hidden layers by it, and everything else by AdamW.
  public func rule(_ tensor: ParameterTensor) -> UpdateRule {
    guard muon != nil, tensor.role == .hidden else { return .adamW(decays: tensor.decays) }
    return .muon(rows: tensor.shape[0], columns: tensor.shape[1])
  }

  /// What an optimizer needs to know of a layout.
  public func tensors(of layout: ParameterLayout) -> [OptimizedTensor] {
    layout.tensors.map { OptimizedTensor(range: $0.range, rule: rule($0)) }
  }

  /// Whether a matrix between hidden layers must be updated by one rank.
  public var needsWholeMatrices: Bool { muon != nil }
}
