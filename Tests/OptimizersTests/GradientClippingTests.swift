import Optimizers
import Testing

/// `torch.nn.utils.clip_grad_norm_`: min(max_norm / (norm + 1e-6), 1).
struct GradientClippingTests {
  @Test(arguments: [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (1e6, 0.3), (1e-7, 1e-6)])
  func isPyTorchs(norm: Double, maximum: Double) {
    #expect(GradientClipping.factor(norm: norm, maximum: maximum) == Float(min(maximum / (norm + 1e-6), 1)))
  }

  @Test func smallGradientsAreLeftAlone() {
    #expect(GradientClipping.factor(norm: 0.999, maximum: 1) == 1)
    #expect(GradientClipping.factor(norm: 1e9, maximum: nil) == 1)
    #expect(GradientClipping.factor(norm: 4, maximum: 1) < 0.25)
  }
}
