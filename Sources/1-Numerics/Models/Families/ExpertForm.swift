import Kernels

/// The mixture-of-experts part of a family: the `config.json` keys of experts and router, and the names of their
/// tensors.
struct ExpertForm: Sendable {
  /// The key of the number of routed experts.
  var countKey: String
  /// Aliases of it, which a run may use too.
  var otherCountKeys: [String] = []
  /// Aliases of it that are accepted only in a folder's file.
  var folderCountKeys: [String] = []
  /// Defaults of the number of experts and of experts per token; nil where the key is required.
  var count: Int?
  var perToken: Int?
  /// The key of an expert's hidden width.
  var widthKey = "moe_intermediate_size"
  var router = RouterForm.softmax
  var sparseLayers = SparseLayers.all
  /// The default of `router_aux_loss_coef`.
  var loadCoefficient = 0.001
  var names = TensorNames()

  enum RouterForm: Sendable {
    /// A softmax whose selected probabilities are renormalised to a sum of 1.
    case renormalisedSoftmax
    /// A softmax; `norm_topk_prob` sets whether the selected probabilities are renormalised to a sum of 1.
    case softmax
    /// Sigmoids with expert biases, groups of experts, and shared experts beside the routed ones.
    case sigmoid
  }

  /// Which layers have experts.
  enum SparseLayers: Sendable {
    case all
    /// Every `decoder_sparse_step`-th, except `mlp_only_layers`.
    case step
    /// All but the first `first_k_dense_replace`.
    case behindDense
  }

  /// Tensor names within a layer.
  struct TensorNames: Sendable {
    /// The prefix of the router and the experts.
    var layer = "mlp."
    /// Other prefixes that files may have.
    var otherLayers: [String] = []
    var gate = "gate_proj"
    var up = "up_proj"
    var down = "down_proj"
  }

  var keys: Set<String> {
    var keys = Set([countKey, "num_experts_per_tok"] + otherCountKeys + ExpertForm.lossKeys)
    if widthKey != "intermediate_size" { keys.insert(widthKey) }
    if router != .renormalisedSoftmax { keys.insert("norm_topk_prob") }
    if router == .sigmoid {
      keys.formUnion([
        "n_shared_experts", "n_group", "topk_group", "routed_scaling_factor", "router_bias_update_rate", "scoring_func",
        "topk_method", "moe_layer_freq",
      ])
    }
    switch sparseLayers {
    case .all: break
    case .step: keys.formUnion(["decoder_sparse_step", "mlp_only_layers"])
    case .behindDense: keys.insert("first_k_dense_replace")
    }
    return keys
  }

  private static let lossKeys = [
    "output_router_logits", "router_aux_loss_coef", "router_z_loss_coef", "router_aux_loss_scope",
  ]
}
