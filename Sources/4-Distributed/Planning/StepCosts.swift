import Models
import RunConfiguration
import Sharding

/// The costs of the parts of a rank's step, in seconds, from measured rates and the cluster: the input of
/// `StepSimulation`.
///
/// All ranks are modelled alike, so a collective takes as long everywhere; differences between ranks are in
/// `imbalance`.
struct StepCosts {
  /// A transfer's duration, and the processor time within it.
  struct Transfer {
    var seconds = 0.0
    var handling = 0.0
  }

  // Parameter gathers and gradient reductions, by unit.
  let gathers: [Transfer]
  let reductions: [Transfer]
  /// The dispatch or return of a chunk of rows, forward and backward.
  let rowTransfers: (forward: Transfer, backward: Transfer)
  /// The exchange of row counts.
  let dispatchPlan: Double
  /// The parts of a micro-batch's pass, on cores not shared with communication.
  let work: PassWork
  /// Micro-steps of a step.
  let microSteps: Int
  /// The relative excess load of the busiest rank's experts.
  let imbalance: Double
  /// The number of parts that local rows are computed in.
  let ownParts: Int
  /// Page faults of gradient sums in a micro-step, by unit.
  let faults: [Double]
  let atStart: Double
  let atEnd: Double
  let collectives: Double

  /// - Parameter messagesAreFree: whether latency and polling cost nothing, to isolate the cost of messages.
  init(
    _ configuration: RunConfiguration, shardingPlan: ShardingPlan, rank: Int, cluster: Cluster, rates: MachineRates,
    messagesAreFree: Bool
  ) {
    let layout = shardingPlan.layout
    let model = configuration.model
    let (sequences, length) = (configuration.batch.microBatch, configuration.data.sequenceLength)
    let slow = cluster.oversubscription
    microSteps =
      MicroBatchAssignment(microBatches: configuration.batch.microBatches, ranks: shardingPlan.ranks).microSteps
    work = rates.seconds(PassWork(model, sequences: sequences, length: length), sparseLayers: model.sparseLayers)
      .scaled(by: slow)
    let degree = shardingPlan.experts.degree
    // Shadowing leaves 0.25 to 0.4 of the imbalance (counts of a real run, degrees 2 to 8).
    let shadowsExperts = cluster.shadowsExperts(configuration.parallelism.shadowExperts, degree: degree)
    let unevenness: Double = MemoryPlan.usualReceivedRows(experts: shardingPlan.experts.experts(of: rank).count) - 1
    imbalance = degree == 1 ? 0 : shadowsExperts ? 0.4 * unevenness : unevenness
    ownParts = shardingPlan.experts.ownParts(of: rank, threads: cluster.threads)

    let isFull = shardingPlan.stage == .full
    let fresh = isFull ? rates.pageFault : 0
    let look: Double = messagesAreFree ? 0 : 100e-6 + rates.oversleep
    var (gathers, reductions, faults) = ([Transfer](), [Transfer](), [Double]())
    for unit in layout.units.indices {
      let group =
        shardingPlan.isExperts(unit)
        ? Cluster.Group(size: shardingPlan.ranks / degree, stride: degree)
        : Cluster.Group(size: shardingPlan.ranks, stride: 1)
      let held = Double(shardingPlan.computeRange(unit: unit, by: rank).count)
      let largest = shardingPlan.holders(unit: unit, of: rank).map { shardingPlan.shards[unit][$0].count }.max() ?? 0
      func transfer(bytes: Double, share: Int, rate: Double) -> Transfer {
        guard group.size > 1 else { return Transfer() }
        let chunks = Double((largest + share - 1) / share)
        let exchange = cluster.exchange(group, bytes: bytes, messages: chunks, secondsPerByte: rate * slow)
        let meeting: Double = messagesAreFree ? 0 : cluster.meeting(group, look: look)
        return Transfer(seconds: exchange + meeting, handling: bytes * rate * slow)
      }
      let others = held * Double(group.size - 1) / Double(group.size)
      let sums = ExchangeChunk.share(ranks: group.size)
      let values = ExchangeChunk.parameterShare(ranks: group.size)
      var reduction = transfer(bytes: 8 * Double(largest * (group.size - 1)), share: sums, rate: rates.copyAndAdd)
      if shardingPlan.stage == .none {
        let back = transfer(bytes: 8 * others, share: values, rate: rates.copy)
        reduction.seconds += back.seconds
        reduction.handling += back.handling
      }
      reductions.append(reduction)
      gathers.append(
        shardingPlan.stage == .none
          ? Transfer() : transfer(bytes: 4 * others, share: values, rate: rates.copy + fresh))
      faults.append(isFull && group.size > 1 ? 8 * others * fresh : 0)
    }
    (self.gathers, self.reductions, self.faults) = (gathers, reductions, faults)

    let expertGroup = Cluster.Group(size: degree, stride: 1)
    let slots = Double(sequences * length * (model.experts?.perToken ?? 0))
    let rowLook = messagesAreFree ? 0 : 50e-6 + rates.oversleep
    func chunk(columns: Int) -> Transfer {
      guard degree > 1 else { return Transfer() }
      let bytes = 4 * slots * Double(columns) * Double(degree - 1) / Double(degree * shardingPlan.experts.chunks)
      return Transfer(
        seconds: cluster.exchange(expertGroup, bytes: bytes, messages: 1, secondsPerByte: rates.copy * slow)
          + (messagesAreFree ? 0 : cluster.meeting(expertGroup, look: rowLook)), handling: bytes * rates.copy * slow)
    }
    rowTransfers = (chunk(columns: model.hiddenSize), chunk(columns: model.hiddenSize + 1))
    dispatchPlan =
      degree > 1
      ? (messagesAreFree ? 0 : cluster.meeting(expertGroup, look: rowLook))
        + cluster.exchange(
          expertGroup, bytes: 4 * Double((degree - 1) * ((model.experts?.count ?? 0) + 2)), messages: 1,
          secondsPerByte: rates.copy) : 0

    let resident = Double(layout.units.indices.reduce(0) { $0 + shardingPlan.resident(unit: $1, by: rank).count })
    let shards = Double(shardingPlan.shards.reduce(0) { $0 + $1[rank].count })
    let tensors = configuration.optimizer.tensors(of: layout)
    let updateRange = layout.units.indices.map { shardingPlan.updateRange(unit: $0, by: rank) }.filter { !$0.isEmpty }
    var next = 0
    let parts = updateRange.flatMap { range in
      while next < tensors.count, tensors[next].range.upperBound <= range.lowerBound { next += 1 }
      return tensors[next...].prefix { $0.range.lowerBound < range.upperBound }.map {
        (tensor: $0, elements: $0.range.clamped(to: range).count)
      }
    }
    // The first contribution overwrites sums, except where tokens add to rows, and with full sharding.
    let embedding = layout.head == layout.embedding ? 0 : Double(layout.embedding.count)
    atStart = (shardingPlan.stage == .full ? resident : embedding) * rates.zero
    atEnd = (shards * rates.norm + rates.update(parts)) * slow

    let world = Cluster.Group(size: shardingPlan.ranks, stride: 1)
    // The all-reduce of the blocks' squared norms, and three short ones.
    let norms = 8 * Double(layout.count / ShardingPlan.blockSize)
    let isAlone = shardingPlan.ranks == 1
    let hops = 2 * (cluster.neighbours(world) < world.size ? cluster.latency : Cluster.localLatency)
    let trips = 4 * Double(shardingPlan.ranks.bitWidth - (shardingPlan.ranks - 1).leadingZeroBitCount)
    collectives =
      isAlone ? 0 : cluster.exchange(world, bytes: 2 * norms, messages: 0, secondsPerByte: rates.copy) + trips * hops
  }
}

extension PassWork {
  fileprivate func scaled(by factor: Double) -> PassWork {
    PassWork(
      embedding: embedding * factor, embeddingGradient: embeddingGradient * factor, head: head * factor,
      headAccumulation: headAccumulation * factor,
      layers: layers.map { Layer($0.array.map { $0 * factor }) }, queryKeyValueShare: queryKeyValueShare)
  }
}
