import ConfigurationFiles
import Foundation
import Kernels
import Models
import Support
import Testing

struct ModelConfigurationTests {
  /// transformers 4 writes `rope_theta` and `rope_scaling`, transformers 5 `rope_parameters`; `torch_dtype` is `dtype`.
  @Test(arguments: ["llama", "mistral", "qwen3"])
  func bothFormsOfTransformersAreEqual(family: String) throws {
    let scaling = #""factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 16"#
    let common = """
      "model_type": "\(family)", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 256
      """
    let four = try modelConfiguration(
      #"{\#(common), "rope_theta": 5e5, "rope_scaling": {"type": "yarn", \#(scaling)}, "torch_dtype": "bfloat16"}"#)
    let five = try modelConfiguration(
      #"{\#(common), "rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5, \#(scaling)}, "dtype": "bfloat16"}"#)
    #expect(four == five)
    guard
      case .yarn(let factor, let betaFast, let betaSlow, let original, let attention, let truncate) = five.rotary
        .scaling
    else { throw ForgeError.badInput("no yarn", code: .internalError) }
    #expect(five.rotary.theta == 5e5 && factor == 4 && betaFast == 16 && betaSlow == 1 && original == 64 && truncate)
    #expect(abs(attention - (0.1 * log(4) + 1)) < 1e-12)
  }

  @Test func familiesDifferInTheirDefaults() throws {
    let llama = try tinyModel("llama", "attention_bias: true\nsliding_window: null")
    #expect(llama.attentionBias && llama.outputBias && llama.queryKeyNorm == .none)
    #expect(llama.windows == [nil, nil] && llama.experts == nil)
    #expect(try tinyModel("mistral").windows == [4096, 4096])
    #expect(try tinyModel("mistral", "sliding_window: null").windows == [nil, nil])
    #expect(try tinyModel("mistral", "sliding_window: 7").windows == [7, 7])
    #expect(try tinyModel("qwen3", "sliding_window: 7").windows == [nil, nil], "only with use_sliding_window")
    let qwen = try tinyModel("qwen3", "sliding_window: 7\nuse_sliding_window: true\nmax_window_layers: 1")
    #expect(qwen.queryKeyNorm == .head && qwen.windows == [nil, 7])
    let mixtral = try tinyModel("mixtral", "num_local_experts: 4")
    #expect(mixtral.sparseLayers == [true, true])
    #expect(mixtral.experts?.perToken == 2 && mixtral.experts?.router == Router(scoring: .softmax, renormalise: true))
    #expect(mixtral.experts?.balancing.loadCoefficient == 0, "balancing is off until it is asked for")
    let moe = "num_experts: 4\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4\n"
    #expect(try tinyModel("qwen3_moe", moe).experts?.router.renormalise == false)
    #expect(try tinyModel("qwen3_moe", moe + "decoder_sparse_step: 2").sparseLayers == [false, true])
    #expect(try tinyModel("qwen3_moe", moe + "mlp_only_layers: [1]").sparseLayers == [true, false])
    #expect(try tinyModel("qwen3_moe", moe + "router_aux_loss_coef: 0.5").experts?.balancing.loadCoefficient == 0.5)
    #expect(try tinyModel("llama", "eos_token_id: [3, 4]").endOfSequence == [3, 4])
  }

  /// The defaults of `OlmoeConfig`, `Ministral3Config` and `Qwen2Config`.
  @Test func newerFamilies() throws {
    let olmoe = try tinyModel("olmoe", "num_experts: 4\nnum_experts_per_tok: 2\nclip_qkv: 8")
    #expect(olmoe.queryKeyNorm == .projection && olmoe.queryKeyValueBound == 8 && !olmoe.attentionBias)
    #expect(olmoe.experts?.intermediateSize == 10 && olmoe.experts?.balancing.statedLoadCoefficient == 0.01)
    #expect(
      olmoe.experts?.router == Router(scoring: .softmax, renormalise: false) && olmoe.sparseLayers == [true, true])
    #expect(try tinyModel("olmoe").experts?.count == 64 && tinyModel("olmoe").queryKeyValueBound == nil)
    let ministral = try tinyModel("ministral3")
    #expect(ministral.rotary.queryScale == RotaryConfiguration.QueryScale(beta: 0.1, originalPositions: 16_384))
    guard case .yarn(16, 32, 1, 16_384, 1, true) = ministral.rotary.scaling else {
      throw ForgeError.badInput("no yarn", code: .internalError)
    }
    #expect(ministral.rotary.theta == 1_000_000 && ministral.windows == [nil, nil])
    let stated = try tinyModel(
      "ministral3",
      "rope_parameters: {rope_type: yarn, factor: 4, original_max_position_embeddings: 32, mscale: 2, "
        + "mscale_all_dim: 1, llama_4_scaling_beta: 0.5}")
    #expect(stated.rotary.theta == 10_000 && stated.rotary.queryScale?.beta == 0.5)
    #expect(stated.rotary.queryScale?.originalPositions == 32)
    guard case .yarn(_, _, _, _, let attention, _) = stated.rotary.scaling else {
      throw ForgeError.badInput("no yarn", code: .internalError)
    }
    #expect(abs(attention - (0.2 * log(4) + 1) / (0.1 * log(4) + 1)) < 1e-12)
    let qwen = try tinyModel("qwen2")
    #expect(qwen.attentionBias && !qwen.outputBias && qwen.queryKeyNorm == .none && qwen.windows == [nil, nil])
  }

  /// A key of another family is rejected in a run, by name and line, unless its value is null, false, 0 or empty.
  @Test(arguments: [
    ("mixtral", "num_experts: 4", "qwen3_moe and olmoe have it"), ("llama", "sliding_window: 5", "mistral"),
    ("llama", "router_aux_loss_coef: 0.1", "mixtral"), ("mistral", "attention_bias: true", "llama"),
    ("qwen3", "clip_qkv: 8", "only olmoe has it"), ("olmoe", "num_local_experts: 4", "mixtral"),
    ("mistral", "use_sliding_window: true", "qwen3"), ("llama", "layer_types: [sliding_attention]", "mistral"),
  ])
  func keysOfOtherFamiliesAreRefused(family: String, line: String, hint: String) throws {
    let error = #expect(throws: ForgeError.self) { _ = try tinyModel(family, line) }
    let text = error?.description ?? ""
    #expect(error?.exitCode == 64 && text.contains(":9: ") && text.contains("is not for \(family) models"), "\(text)")
    #expect(text.contains(hint), "\(text)")
    for value in ["null", "false", "0", "[]"] {
      _ = try tinyModel(family, line.prefix { $0 != ":" } + ": " + value)
    }
  }

  static let dots1 = "n_routed_experts: 8\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4\n"

  /// The keys and the defaults of `Dots1Config`.
  @Test func sigmoidRouters() throws {
    let plain = try tinyModel("dots1", Self.dots1)
    let experts = try #require(plain.experts)
    #expect(plain.queryKeyNorm == .head && plain.windows == [nil, nil] && plain.sparseLayers == [true, true])
    #expect(plain.maximumPositions == 2048 && plain.normEpsilon == 1e-6 && plain.rotary.theta == 10_000)
    #expect(experts.router == Router(scoring: .sigmoid, renormalise: false))
    #expect(experts.sharedIntermediateSize == 0 && experts.biasUpdateRate == 0.001)
    #expect(try tinyModel("dots1", Self.dots1 + "max_window_layers: 1").windows == [nil, 4096])
    #expect(try tinyModel("dots1", Self.dots1 + "max_window_layers: 1\nsliding_window: null").windows == [nil, nil])
    let types = "sliding_window: 5\nlayer_types: [sliding_attention, full_attention]"
    #expect(try tinyModel("dots1", Self.dots1 + types).windows == [5, nil])
    let rich = try tinyModel(
      "dots1",
      Self.dots1 + "n_group: 4\ntopk_group: 3\nnorm_topk_prob: true\nrouted_scaling_factor: 2.5\nn_shared_experts: 3\n"
        + "first_k_dense_replace: 1\nrouter_bias_update_rate: 0\nscoring_func: noaux_tc")
    #expect(
      rich.experts?.router
        == Router(scoring: .sigmoid, renormalise: true, scalingFactor: 2.5, groups: 4, groupsPerToken: 3))
    #expect(rich.experts?.sharedIntermediateSize == 12 && rich.experts?.biasUpdateRate == 0)
    #expect(rich.sparseLayers == [false, true] && (0..<2).map(rich.denseWidth) == [10, 12])
    #expect(try tinyModel("mixtral").experts?.biasUpdateRate == nil)
  }

  /// Each unsupported setting is reported by its key.
  @Test(arguments: [
    ("dots1", dots1 + "n_group: 3", "n_group", "does not divide the 8 experts"),
    ("dots1", dots1 + "n_group: 8", "n_group", "one expert a group"),
    ("dots1", dots1 + "n_group: 2\ntopk_group: 3", "topk_group", "between 1 and n_group = 2"),
    ("dots1", dots1 + "topk_group: 0", "topk_group", "between 1"),
    (
      "dots1", "n_routed_experts: 8\nnum_experts_per_tok: 3\nmoe_intermediate_size: 4\nn_group: 4", "topk_group",
      "fewer than num_experts_per_tok = 3"
    ),
    ("dots1", "num_experts_per_tok: 2\nmoe_intermediate_size: 4", "n_routed_experts", "is missing"),
    ("dots1", "n_routed_experts: 4\nmoe_intermediate_size: 4", "num_experts_per_tok", "is missing"),
    ("dots1", dots1 + "routed_scaling_factor: 0", "routed_scaling_factor", "positive"),
    ("dots1", dots1 + "n_shared_experts: -1", "n_shared_experts", "negative"),
    ("dots1", dots1 + "first_k_dense_replace: -1", "first_k_dense_replace", "negative"),
    ("dots1", dots1 + "router_bias_update_rate: -0.1", "router_bias_update_rate", "negative"),
    ("dots1", dots1 + "router_z_loss_coef: 0.1", "router_z_loss_coef", "softmax"),
    ("dots1", dots1 + "scoring_func: softmax", "scoring_func", "sigmoid"),
    ("qwen3_moe", "moe_intermediate_size: 4\nn_shared_experts: 1", "n_shared_experts", "dots1"),
    ("mixtral", "router_bias_update_rate: 0.1", "router_bias_update_rate", "dots1"),
    ("llama", "n_group: 2", "n_group", "dots1"),
  ])
  func impossibleRoutersAreRefused(family: String, extra: String, key: String, hint: String) {
    let error = #expect(throws: ForgeError.self) { _ = try tinyModel(family, extra) }
    #expect(error?.exitCode == 64)
    let text = error?.description ?? ""
    #expect(text.contains(" \(key) ") && text.contains(hint), "\(text)")
  }

  /// Each mistake is reported with the line, the key, and a valid value.
  @Test(arguments: [
    ("model_type: gpt2", ":1:", "mixtral"),
    ("hidden_sise: 12", ":9:", "did you mean 'hidden_size'"),
    ("rms_norm_eps: small", ":9:", "rms_norm_eps"),
    ("hidden_act: gelu", ":9:", "silu"),
    ("mlp_bias: true", ":9:", "mlp_bias"),
    ("attention_dropout: 0.1", ":9:", "attention_dropout"),
    ("quantization_config: {bits: 4}", ":9:", "quantization_config"),
    ("rope_scaling: {rope_type: longrope, factor: 2}", ":9:", "longrope"),
    ("rope_scaling: {rope_type: llama3, factor: 2}", ":9:", "low_freq_factor"),
    ("rope_scaling: {rope_type: yarn, factr: 2}", ":9:", "did you mean 'factor'"),
  ])
  func mistakesAreLocated(line: String, location: String, hint: String) {
    let key = line.prefix { $0 != ":" }
    let error = #expect(throws: ForgeError.self) {
      _ = key == "model_type" ? try modelConfiguration(line) : try tinyModel("llama", line)
    }
    #expect(error?.exitCode == 64)
    let text = error?.description ?? ""
    #expect(text.contains(location) && text.contains(hint), "\(text)")
  }

  @Test(arguments: [
    ("llama", "num_key_value_heads", "3"), ("llama", "head_dim", "5"), ("llama", "vocab_size", "0"),
    ("llama", "num_hidden_layers", "-1"), ("mistral", "sliding_window", "0"), ("mixtral", "num_experts_per_tok", "9"),
    ("qwen3_moe", "moe_intermediate_size", "0"), ("qwen3_moe", "decoder_sparse_step", "0"),
    ("mixtral", "router_aux_loss_scope", "expert"),
    ("llama", "hidden_size", "4611686018427387904"), ("llama", "vocab_size", "16777217"),
    ("llama", "num_hidden_layers", "8193"), ("mixtral", "num_local_experts", "65537"),
    ("qwen3_moe", "moe_intermediate_size", "16777217"),
  ])
  func impossibleValuesAreRefused(family: String, key: String, value: String) throws {
    var keys = [
      "vocab_size": "19", "hidden_size": "12", "intermediate_size": "10", "num_hidden_layers": "2",
      "num_attention_heads": "2", "num_key_value_heads": "1", "head_dim": "6",
    ]
    if family == "qwen3_moe" { keys["moe_intermediate_size"] = "4" }
    func text() -> String { "model_type: \(family)\n" + keys.map { "\($0): \($1)\n" }.joined() }
    _ = try modelConfiguration(text())
    keys[key] = value
    let error = #expect(throws: ForgeError.self) { _ = try modelConfiguration(text()) }
    #expect(error?.description.contains(key) == true && error?.exitCode == 64)
  }

  /// Each number is possible, all of them together are not.
  @Test func modelsThatFitNowhereAreRefused() throws {
    func text(_ width: Int) -> String {
      "vocab_size: 32000\nhidden_size: \(width)\nintermediate_size: \(4 * width)\nnum_hidden_layers: 4096\n"
        + "num_attention_heads: 64"
    }
    #expect(try modelConfiguration(text(16384)).layers == 4096)
    let error = #expect(throws: ForgeError.self) { _ = try modelConfiguration(text(1 << 20)) }
    #expect(error?.exitCode == 64 && error?.description.contains("trillion parameters") == true)
  }

  @Test(arguments: ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"])
  func missingKeysAreNamed(key: String) {
    let keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
    let error = #expect(throws: ForgeError.self) {
      _ = try modelConfiguration(keys.filter { $0 != key }.map { "\($0): 8\n" }.joined() + "head_dim: 8")
    }
    #expect(error?.description.contains("\(key) is missing") == true)
  }
}
