/// Clipping by global norm (Pascanu et al. 2013), as `torch.nn.utils.clip_grad_norm_` does it.
public enum GradientClipping {
  /// The clipping factor for gradients of norm `norm`: maximum / (norm + 1e-6), at most 1; 1 without a maximum.
  public static func factor(norm: Double, maximum: Double?) -> Float {
    guard let maximum else { return 1 }
    return Float(min(1, maximum / (norm + 1e-6)))
  }
}
