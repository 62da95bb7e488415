import ConfigurationFiles
import Models
import Support
import Testing

/// A folder's `config.json` is read as transformers 5 reads it.
struct FolderConfigurationTests {
  private func folder(
    _ family: String, _ extra: String, without: Set<String> = [], notes: ((String) -> Void)? = nil
  ) throws -> ModelConfiguration {
    var keys = [
      "vocab_size": "19", "hidden_size": "12", "intermediate_size": "10", "num_hidden_layers": "2",
      "num_attention_heads": "2", "num_key_value_heads": "1", "head_dim": "6",
    ]
    if family == "qwen3_moe" { keys["moe_intermediate_size"] = "4" }
    for key in without { keys[key] = nil }
    let text = (keys.map { "\"\($0)\": \($1)" } + [extra]).filter { !$0.isEmpty }.joined(separator: ", ")
    let node = try ConfigurationNode.parse(json: "{\"model_type\": \"\(family)\", \(text)}".utf8, source: "config.json")
    return try ModelConfiguration(
      huggingFace: ConfigurationSection(node), author: .folder, note: notes ?? { _ in })
  }

  @Test func whatIsLeftOutAndWhatIsNull() throws {
    let heads: Set = ["num_key_value_heads"]
    let null = "\"num_key_value_heads\": null"
    for family in ["llama", "mistral", "mixtral", "qwen3", "dots1"] {
      let routed =
        family == "dots1"
        ? ", \"n_routed_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 4" : ""
      #expect(try folder(family, null + routed, without: heads).keyValueHeads == 2, "\(family)")
    }
    #expect(throws: ForgeError.self) { try folder("qwen3_moe", null, without: heads) }
    #expect(throws: ForgeError.self) { try folder("qwen3", "\"head_dim\": null", without: ["head_dim"]) }
    #expect(try folder("llama", "\"head_dim\": null", without: ["head_dim"]).headDimension == 6)
    #expect(try folder("qwen3", "\"use_sliding_window\": true, \"max_window_layers\": 1").windows == [nil, 4096])
    #expect(try folder("qwen3_moe", "\"use_sliding_window\": true").windows == [4096, 4096])
    #expect(try folder("mixtral", "\"num_experts\": 4").experts?.count == 4)
    #expect(try folder("olmoe", "\"num_local_experts\": 9").experts?.count == 9)
    for (family, keys) in [
      ("olmoe", ["head_dim", "num_experts"]), ("ministral3", ["head_dim", "num_key_value_heads"]),
      ("qwen2", ["head_dim", "max_window_layers"]),
    ] {
      for key in keys {
        let error = #expect(throws: ForgeError.self) { try folder(family, "\"\(key)\": null", without: [key]) }
        #expect(error?.description.contains("\(key) is null") == true, "\(family)")
      }
    }
    #expect(try folder("olmoe", null + ", \"clip_qkv\": null", without: heads).keyValueHeads == 2)
    #expect(try folder("qwen2", null, without: heads).keyValueHeads == 2)
    #expect(try folder("olmoe", "").padding == 1 && folder("ministral3", "\"pad_token_id\": null").padding == nil)
    #expect(throws: ForgeError.self) {
      try folder("qwen3", "\"layer_types\": [\"full_attention\", \"linear_attention\"]")
    }
    // transformers caches only a window of such layers, in every family.
    #expect(throws: ForgeError.self) {
      try folder("llama", "\"sliding_window\": 4, \"layer_types\": [\"sliding_attention\", \"full_attention\"]")
    }
  }

  @Test func endTokens() throws {
    #expect(try folder("llama", "").endOfSequence == [2] && folder("llama", "").beginOfSequence == 1)
    #expect(try folder("qwen3", "").endOfSequence == [])
    #expect(try folder("mistral", "\"eos_token_id\": null").endOfSequence == [])
    let full = try folder("llama", "\"eos_token_id\": [7, 5], \"bos_token_id\": null, \"pad_token_id\": 3")
    #expect(full.endOfSequence == [7, 5] && full.beginOfSequence == nil && full.padding == 3)
    var other = full
    (other.endOfSequence, other.padding) = ([1], nil)
    #expect(other != full && other.computesAs(full))
    other.hiddenSize = 13
    #expect(!other.computesAs(full))
  }

  @Test func keysOfOtherFamiliesAreNamed() throws {
    var notes: [String] = []
    let text =
      "\"sliding_window\": 4, \"n_group\": 2, \"layer_types\": [\"full_attention\", \"full_attention\"], \"x\": null, "
      + "\"num_local_experts\": 0, \"rope_parameters\": {\"rope_type\": \"default\", \"mrope_section\": [1]}"
    #expect(try folder("llama", text, notes: { notes.append($0) }).windows == [nil, nil])
    #expect(
      notes == [
        "config.json: not used by this program: rope_parameters.mrope_section",
        "config.json: not used by this program: x, sliding_window, n_group",
      ])
  }

  /// As `Ministral3Config` has them, and where transformers fails.
  @Test func queryScales() throws {
    let yarn = "\"rope_parameters\": {\"type\": \"yarn\", \"factor\": 2, \"original_max_position_embeddings\": 8"
    let beta = "\"llama_4_scaling_beta\""
    let scaled = try folder(
      "ministral3", yarn + ", \(beta): 0.1, \"max_position_embeddings\": 16}, \"rope_theta\": 5e5")
    #expect(scaled.rotary.queryScale == RotaryConfiguration.QueryScale(beta: 0.1, originalPositions: 8))
    #expect(scaled.rotary.theta == 5e5)
    #expect(try folder("ministral3", yarn + ", \(beta): 0}").rotary.queryScale == nil)
    #expect(try folder("ministral3", "").rotary.queryScale?.originalPositions == 16_384)
    for text in [yarn + "}", yarn + ", \(beta): -1}", "\"rope_theta\": 5e5"] {
      #expect(throws: ForgeError.self) { try folder("ministral3", text) }
    }
    // Another family's file may have it without effect, as in transformers.
    var notes: [String] = []
    let other = try folder("llama", yarn + ", \(beta): 0.1}", notes: { notes.append($0) })
    #expect(other.rotary.queryScale == nil && notes.count == 1 && notes[0].contains("llama_4_scaling_beta"))
  }

  /// transformers gives such norms weights of `hidden_size`.
  @Test func headsOfNormalisedProjections() throws {
    let error = #expect(throws: ForgeError.self) { try folder("olmoe", "\"head_dim\": 4", without: ["head_dim"]) }
    #expect(error?.description.contains("head_dim is 4") == true)
  }

  @Test func ropeBesideTheMapping() throws {
    let yarn = "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 2, \"beta_fast\": 0}"
    let outer = try folder("llama", yarn + ", \"original_max_position_embeddings\": 77, \"rope_theta\": 5e5")
    guard case .yarn(_, let fast, _, let original, _, _) = outer.rotary.scaling else {
      throw ForgeError.badInput("no yarn", code: .internalError)
    }
    #expect(original == 77 && fast == 32 && outer.rotary.theta == 5e5)
  }
}
