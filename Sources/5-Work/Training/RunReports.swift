import Sharding

/// A run begins, or goes on.
struct StartReport {
  /// Steps done before.
  var step: Int
  /// Where the run branches off another, at its beginning; nil at every other start.
  var branch: Branch?
  /// Of the lease.
  var epoch: Int
  var ranks: Int
  /// Of a rank.
  var threads: Int
  /// Of the model.
  var parameters: Int
  var shardingPlan: ShardingPlan
  /// Of a rank, predicted; and of these what the program has before anything is laid out.
  var memoryBytes: Int
  var baselineBytes: Int
  /// The parts of the prediction, in words.
  var memory: String
  /// Root hashes of the training datasets, and how many of their chunks were compared.
  var data: [String]
  var verifiedChunks: Int
  /// What the configuration says differently since the checkpoint, or than the trunk's: `optimizer.weight_decay: 0.1 → 0.05`.
  var changes: [String]
  /// What somebody might want to change.
  var advice: [String]
}

/// A step is done, or its update left out.
struct StepReport {
  /// From 1.
  var step: Int
  var outcome: StepOutcome
  var seconds: Double
  /// Of the global batch, and of all steps up to this one, the trunk's included.
  var tokens: Int
  var allTokens: Int
  /// nil when nothing was validated after this step.
  var validated: Validation.Loss?
  /// What the step got out of the cores, 0 to 1; nil when it is not known.
  var peakShare: Double?
  /// Of the batch, by dataset, when the update was left out.
  var documents: [String]
  var slowRanks: [SlowRank]

  var tokensPerSecond: Double { Double(tokens) / seconds }
}

/// A rank that takes clearly longer than the others for a micro-batch.
struct SlowRank {
  /// Of the job, and its host.
  var rank: Int
  var name: String
  /// How many times longer than the median rank.
  var factor: Double
  /// Whether it gets fewer micro-batches now; nil where they are dealt evenly in any case.
  var hasLess: Bool?
}

/// A checkpoint is durable.
struct SaveReport {
  var step: Int
  /// From the copy of the state until then, and how long of that training stood still.
  var seconds: Double
  var stallSeconds: Double
  /// The checkpoint's root hash; nil where it could not be read back.
  var root: String?
}

/// The run has gone back to a checkpoint, and leaves a batch out from now on.
struct RollbackReport {
  /// Whose batch was bad.
  var step: Int
  var toStep: Int
  var reason: String
  /// Of the batch, by dataset.
  var documents: [String]
}

/// Parameters had changed by themselves in memory, and are what they should be again.
struct RecoveryReport {
  /// Which is computed again.
  var step: Int
  /// Those concerned, with their hosts.
  var ranks: String
  /// The checkpoint that was restored; nil when other ranks had sound copies.
  var toStep: Int?

  var how: String {
    toStep.map { "restored from the checkpoint of step \($0)" } ?? "taken from the other ranks again"
  }
}

/// The run has stopped on request.
struct StopReport {
  var step: Int
}

/// The run is complete.
struct EndReport {
  var step: Int
  /// SHA-256 of the final weights.
  var weights: String
  /// Of the rank that needed most.
  var peakBytes: Int
  var predictedBytes: Int
}
