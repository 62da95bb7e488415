import Sharding

/// Report of a start or resume of a run.
struct StartReport {
  /// The number of steps done before.
  var step: Int
  /// The branch point, at the first start of a branch; nil at every other start.
  var branch: Branch?
  /// The epoch of the lease.
  var epoch: Int
  var ranks: Int
  /// Compute threads per rank.
  var threads: Int
  /// The number of the model's parameters.
  var parameters: Int
  var shardingPlan: ShardingPlan
  /// Predicted memory of a rank, and the part of it that the program has before allocation, bytes.
  var memoryBytes: Int
  var baselineBytes: Int
  /// The parts of the prediction, as text.
  var memory: String
  /// Root hashes of the training datasets, and the number of verified chunks of all data.
  var data: [String]
  var verifiedChunks: Int
  /// Changes of the configuration since the checkpoint, or from the trunk's: `optimizer.weight_decay: 0.1 → 0.05`.
  var changes: [String]
  /// Warnings and suggestions.
  var advice: [String]
}

/// Report of a step, applied or skipped.
struct StepReport {
  /// Counted from 1.
  var step: Int
  var outcome: StepOutcome
  var seconds: Double
  /// Tokens of the global batch, and of all steps up to this one, the trunk's included.
  var tokens: Int
  var allTokens: Int
  /// The validation loss; nil when this step was not validated.
  var validated: Validation.Loss?
  /// The step's share of the cores' peak (``PeakShare``), 0 to 1; nil when unknown.
  var peakShare: Double?
  /// The documents of the batch, by dataset, when the update was skipped.
  var documents: [String]
  var slowRanks: [SlowRank]

  var tokensPerSecond: Double { Double(tokens) / seconds }
}

/// A straggler: a rank that takes clearly longer than the others for a micro-batch.
struct SlowRank {
  /// The world rank, and a description with its host.
  var rank: Int
  var name: String
  /// Its time relative to the median rank.
  var factor: Double
  /// Whether it gets fewer micro-batches now; nil when they are always assigned evenly.
  var hasLess: Bool?
}

/// Report of a durable checkpoint.
struct SaveReport {
  var step: Int
  /// Seconds from the copy of the state until the checkpoint was durable, and of that the stall of training.
  var seconds: Double
  var stallSeconds: Double
  /// The checkpoint's root hash; nil when it could not be read back.
  var root: String?
}

/// Report of a rollback to a checkpoint, after which a batch is skipped.
struct RollbackReport {
  /// The step whose batch is skipped.
  var step: Int
  var toStep: Int
  var reason: String
  /// The documents of the batch, by dataset.
  var documents: [String]
}

/// Report of a recovery from silent data corruption of parameters.
struct RecoveryReport {
  /// The step that is recomputed.
  var step: Int
  /// The corrupt ranks, with their hosts.
  var ranks: String
  /// The step of the restored checkpoint; nil when the parameters were gathered from sound shards.
  var toStep: Int?

  var how: String {
    toStep.map { "restored from the checkpoint of step \($0)" } ?? "taken from the other ranks again"
  }
}

/// Report of a stop on request.
struct StopReport {
  var step: Int
}

/// Report of a complete run.
struct EndReport {
  var step: Int
  /// SHA-256 of the final weights.
  var weights: String
  /// Max over ranks, bytes.
  var peakBytes: Int
  var predictedBytes: Int
}
