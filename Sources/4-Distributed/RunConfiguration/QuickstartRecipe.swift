/// The configuration of `forge-dist` when none is given; the same text as `configs/quickstart.yaml`.
public enum QuickstartRecipe {
  public static let yaml = """
    # A mixture of experts of 5.9 M parameters that learns an organisation's documents in minutes, on two cores.
    #
    #   scripts/quickstart                      prepares runs/quickstart/data and runs this recipe
    #   mpirun -n 2 forge-dist                  runs it again, or continues it
    run: { name: quickstart, directory: runs/quickstart, seed: 1, steps: 600 }

    model:
      model_type: mixtral
      vocab_size: 4096
      hidden_size: 192
      intermediate_size: 256
      num_hidden_layers: 4
      num_attention_heads: 6
      num_key_value_heads: 2
      head_dim: 32
      num_local_experts: 8
      num_experts_per_tok: 2
      router_aux_loss_coef: 0.01
      router_aux_loss_scope: layer
      max_position_embeddings: 1024
      rms_norm_eps: 1.0e-5
      rope_theta: 10000.0
      tie_word_embeddings: true
      initializer_range: 0.03
      bos_token_id: 1
      eos_token_id: 2

    data:
      sequence_length: 256
      train: [ { path: runs/quickstart/data, weight: 1.0 } ]

    batch: { sequences: 8, micro_batch: 4 }
    optimizer: { name: adamw, learning_rate: 2.0e-3, betas: [0.9, 0.95], epsilon: 1.0e-8, weight_decay: 0.1, clip_norm: 1.0 }
    schedule: { name: wsd, warmup_steps: 60, decay_steps: 200 }
    validation: { every: 100, sequences: 64 }
    checkpoint: { every: 100, keep_last: 2 }

    """
}
