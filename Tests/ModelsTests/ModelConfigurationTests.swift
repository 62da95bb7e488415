import Configuration
import Diagnostics
import Foundation
import Models
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
    else { throw ForgeError.badInput("no yarn") }
    #expect(five.rotary.theta == 5e5 && factor == 4 && betaFast == 16 && betaSlow == 1 && original == 64 && truncate)
    #expect(abs(attention - (0.1 * log(4) + 1)) < 1e-12)
  }

  @Test func familiesDifferInTheirDefaults() throws {
    let llama = try tinyModel("llama", "attention_bias: true\nsliding_window: 5")
    #expect(llama.attentionBias && !llama.queryKeyNorm && llama.windows == [nil, nil] && llama.experts == nil)
    #expect(try tinyModel("mistral").windows == [4096, 4096])
    #expect(try tinyModel("mistral", "sliding_window: null").windows == [nil, nil])
    #expect(try tinyModel("mistral", "sliding_window: 7").windows == [7, 7])
    #expect(try tinyModel("qwen3", "sliding_window: 7").windows == [nil, nil], "only with use_sliding_window")
    let qwen = try tinyModel("qwen3", "sliding_window: 7\nuse_sliding_window: true\nmax_window_layers: 1")
    #expect(qwen.queryKeyNorm && qwen.windows == [nil, 7])
    let mixtral = try tinyModel("mixtral", "num_local_experts: 4")
    #expect(mixtral.sparseLayers == [true, true])
    #expect(mixtral.experts?.perToken == 2 && mixtral.experts?.renormalise == true)
    #expect(mixtral.experts?.balancing.loadCoefficient == 0, "balancing is off until it is asked for")
    let moe = "num_experts: 4\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4\n"
    #expect(try tinyModel("qwen3_moe", moe).experts?.renormalise == false)
    #expect(try tinyModel("qwen3_moe", moe + "decoder_sparse_step: 2").sparseLayers == [false, true])
    #expect(try tinyModel("qwen3_moe", moe + "mlp_only_layers: [1]").sparseLayers == [true, false])
    #expect(try tinyModel("qwen3_moe", moe + "router_aux_loss_coef: 0.5").experts?.balancing.loadCoefficient == 0.5)
    #expect(try tinyModel("llama", "eos_token_id: [3, 4]").endOfSequence == 3)
  }

  /// Each mistake is reported with the line, the key, and what would be right.
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

  @Test(arguments: ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"])
  func missingKeysAreNamed(key: String) {
    let keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
    let error = #expect(throws: ForgeError.self) {
      _ = try modelConfiguration(keys.filter { $0 != key }.map { "\($0): 8\n" }.joined() + "head_dim: 8")
    }
    #expect(error?.description.contains("\(key) is missing") == true)
  }
}
