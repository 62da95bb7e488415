extension ModelFamily {
  /// The families, in the order in which people are told of them: a line each.
  public static let all: [ModelFamily] = [
    .llama,
    .mistral,
    .mixtral,
    .qwen3,
    .qwen3MoE,
    .dots1,
    .olmoe,
    .ministral3,
    .qwen2,
  ]

  /// nil for a `model_type` that is not here.
  public static func named(_ name: String) -> ModelFamily? { all.first { $0.name == name } }
}
