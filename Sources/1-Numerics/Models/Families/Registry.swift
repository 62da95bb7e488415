extension ModelFamily {
  /// The registry of families, in the order of messages and tables.
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

  /// The family of a `model_type`; nil if it is not registered.
  public static func named(_ name: String) -> ModelFamily? { all.first { $0.name == name } }
}
