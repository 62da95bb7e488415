import Kernels

/// How a family says what its experts and their router are, and how files name their tensors.
struct ExpertForm: Sendable {
  /// The key of the number of routed experts.
  var countKey: String
  /// Other keys for it, which a run may use too.
  var otherCountKeys: [String] = []
  /// Other keys for it, which only a folder's file may have.
  var folderCountKeys: [String] = []
  /// What holds where the number of experts, and that of experts a token visits, are left out; nil where they must not be.
  var count: Int?
  var perToken: Int?
  /// Of an expert's hidden width.
  var widthKey = "moe_intermediate_size"
  var router = RouterForm.softmax
  var sparseLayers = SparseLayers.all
  /// Of `router_aux_loss_coef`.
  var loadCoefficient = 0.001
  var names = TensorNames()

  enum RouterForm: Sendable {
    /// A softmax whose chosen probabilities are made to add up to 1.
    case renormalisedSoftmax
    /// A softmax; `norm_topk_prob` says whether the chosen probabilities are made to add up to 1.
    case softmax
    /// Sigmoids with selection biases, groups of experts, and shared experts beside the routed ones.
    case sigmoid
  }

  /// Which layers have experts.
  enum SparseLayers: Sendable {
    case all
    /// Every `decoder_sparse_step`-th one, but for `mlp_only_layers`.
    case step
    /// Those behind the first `first_k_dense_replace`.
    case behindDense
  }

  /// Names within a layer.
  struct TensorNames: Sendable {
    /// Of the router and the experts together.
    var layer = "mlp."
    /// What `layer` may also be in files.
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
