import Batches
import Kernels
import Objectives

/// Runs a pass over one micro-batch, event by event in the order of its schedule.
extension Decoder {
  /// A pass over one micro-batch: its purpose and its results.
  struct Pass {
    /// The accumulator of gradients, and the micro-batches of the global batch, which divide the auxiliary losses.
    struct Gradients {
      let accumulator: any GradientAccumulator
      let microBatches: Int
      var auxiliaryScale: Float { 1 / Float(microBatches) }
    }
    enum Purpose {
      case training(NormalizedObjective, Gradients)
      case losses(NormalizedObjective)
      case logProbabilities
      /// The last token's logits, `[vocabulary]`; nil computes none.
      case lastLogits(Buffer<Float>?)
    }

    let batch: TokenBatch
    let purpose: Purpose
    var losses: [Int64]?
    var auxiliaryLoss: Int64? = 0

    init(_ batch: TokenBatch, _ purpose: Purpose) {
      self.batch = batch
      self.purpose = purpose
    }

    var gradients: Gradients {
      guard case .training(_, let gradients) = purpose else { preconditionFailure("a pass without gradients") }
      return gradients
    }
  }

  func run(_ schedule: PassSchedule, _ pass: inout Pass) throws {
    precondition(pass.batch.tokenCount <= activationLayout.outputScale.count, "micro-batch larger than planned")
    precondition(pass.batch.packing.longest <= rotary.cosine.rows, "sequence longer than planned")
    if !parametersAreUnchanged { packedWeights?.invalidate() }
    for event in schedule.events {
      switch event {
      case .unshard(let unit): try parameterSharding.unshard(unit)
      case .reshard(let unit):
        try parameterSharding.reshard(unit)
        if parameterSharding.releasesParameters { packedWeights?.discard(unit: unit) }
      case .beginGradient(let unit): try parameterSharding.beginGradient(unit)
      case .reduceGradient(let unit): try parameterSharding.endGradient(unit)
      case .compute(let part, .forward): try forward(part, &pass)
      case .compute(let part, .recompute): try recompute(part, pass)
      case .compute(let part, .backward): try backward(part, &pass)
      }
      observer?(event)
    }
  }

  /// On a rank without a micro-batch in this micro-step, only the experts compute anything.
  private func forward(_ part: PassSchedule.Part, _ pass: inout Pass) throws {
    let batch = pass.batch
    switch part {
    case .embedding: backend.embed(batch.inputs, weight: embedding, into: input(ofLayer: 0, batch.tokenCount))
    case .attention(let layer): attentionForward(layer, batch)
    case .feedForward(let layer): feedForward(layer, batch)
    case .dispatch(let layer): dispatchForward(layer, batch)
    case .experts(let layer): try expertsForward(layer, batch)
    case .combine(let layer): try combineForward(layer, batch)
    case .head: headForward(&pass)
    case .accumulation: preconditionFailure("a forward pass has no gradients")
    }
  }

  private func recompute(_ part: PassSchedule.Part, _ pass: Pass) throws {
    switch part {
    case .attention(let layer): attentionRecompute(layer, pass.batch)
    case .feedForward(let layer): feedForwardRecompute(layer, pass.batch)
    case .experts(let layer): try expertsRecompute(layer, pass.batch, pass.gradients)
    default: preconditionFailure("\(part) is kept")
    }
  }

  private func backward(_ part: PassSchedule.Part, _ pass: inout Pass) throws {
    let (batch, gradients) = (pass.batch, pass.gradients)
    switch part {
    case .embedding:
      let gradient = hidden(activationLayout.gradient, batch.tokenCount)
      gradients.accumulator.add(rows: gradient, ids: batch.inputs, at: layout.embedding, backend: backend)
    case .attention(let layer): attentionBackward(layer, batch)
    case .feedForward(let layer): feedForwardBackward(layer, batch)
    case .dispatch(let layer): dispatchBackward(layer, batch, gradients)
    case .experts(let layer): try expertsBackward(layer, batch, gradients)
    case .combine(let layer): try combineBackward(layer, batch, gradients)
    case .head: headBackward(&pass)
    case .accumulation(let layer): addGradients(layer, batch, to: gradients.accumulator)
    }
  }
}
