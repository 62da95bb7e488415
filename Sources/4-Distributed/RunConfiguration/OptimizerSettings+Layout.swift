public import Models
public import Optimizers

extension OptimizerSettings {
  /// The update rule of a tensor: Muon, if configured, for hidden matrices, AdamW for all others.
  public func rule(_ tensor: ParameterTensor) -> UpdateRule {
    guard muon != nil, tensor.role == .hidden else { return .adamW(decays: tensor.decays) }
    return .muon(rows: tensor.shape[0], columns: tensor.shape[1])
  }

  /// The tensors of a layout, with their update rules.
  public func tensors(of layout: ParameterLayout) -> [OptimizedTensor] {
    layout.tensors.map { OptimizedTensor(range: $0.range, rule: rule($0)) }
  }

  /// Whether hidden matrices must be updated whole, by one rank each (Muon).
  public var needsWholeMatrices: Bool { muon != nil }
}
