import Models
import Placement
import Settings

/// Plays a step of one rank through, event by event as the pass's schedule says: computation waits for pieces, hands over
/// gradients and sends rows; communication threads serve them one after the other as `ShardedState` and
/// `DistributedExperts` do.
///
/// All ranks are alike here, so a collective takes as long everywhere; what makes ranks unlike is in `imbalance`.
struct StepSimulation {
  /// A communication thread: what is submitted begins when everything before it is done.
  private struct Queue {
    var free = 0.0
    /// The time it spent handling bytes.
    var busy = 0.0

    mutating func submit(at now: Double, taking seconds: Double, handling: Double) -> Double {
      free = max(now, free) + seconds
      busy += handling
      return free
    }
  }

  /// A transfer's duration, and the part of it for which a core works.
  struct Transfer {
    var seconds = 0.0
    var handling = 0.0
  }

  // By piece.
  private let gathers: [Transfer]
  private let reductions: [Transfer]
  /// A chunk's rows to their experts or back, forward and backward.
  private let rowTransfers: (forward: Transfer, backward: Transfer)
  private let dispatchPlan: Double
  /// Of a micro-batch's parts, on cores of their own.
  private let work: PassWork
  private let placement: StatePlacement
  private let schedule: PassSchedule
  private let recompute: Recomputation
  private let cluster: Cluster
  private let imbalance: Double
  private let ownParts: Int
  private let layout: ParameterLayout
  private let rounds: Int
  /// Of first uses of sums' memory in a round, by piece.
  private let faults: [Double]
  private let atStart: Double
  private let atEnd: Double
  private let collectives: Double

  // A run's state.
  private var now = 0.0
  private var time = StepTime()
  private var pieces = Queue()
  private var rowQueue = Queue()
  private var gathered: [Double]
  private var reduced: [Double]
  private var window = PieceWindow()
  /// The expert layer in progress.
  private var rows = RowsInFlight()

  /// - Parameters:
  ///   - schedule: of a pass.
  ///   - recompute: that the schedule was made for.
  ///   - bytesAreFree, messagesAreFree: for telling what a step spends on bytes that travel, and on messages as such.
  init(
    _ configuration: RunConfiguration, placement: StatePlacement, schedule: PassSchedule, recompute: Recomputation,
    rank: Int, cluster: Cluster, rates: MachineRates, bytesAreFree: Bool = false, messagesAreFree: Bool = false
  ) {
    var cluster = cluster
    var rates = rates
    if bytesAreFree {
      cluster.bandwidth = .infinity
      (rates.copy, rates.copyAndAdd) = (0, 0)
    }
    if messagesAreFree { (cluster.latency, rates.oversleep) = (0, 0) }
    self.placement = placement
    self.schedule = schedule
    self.recompute = recompute
    self.cluster = cluster
    layout = placement.layout
    let model = configuration.model
    let (sequences, length) = (configuration.batch.microBatch, configuration.data.sequenceLength)
    let slow = cluster.oversubscription
    rounds = MicroBatchDealing(microBatches: configuration.batch.microBatches, ranks: placement.ranks).rounds
    work = rates.seconds(PassWork(model, sequences: sequences, length: length), sparseLayers: model.sparseLayers)
      .scaled(by: slow)
    let degree = placement.experts.degree
    // Lending experts leaves a quarter to 0.4 of the unevenness (counts of a real run, degrees 2 to 8).
    let lends = cluster.lendsExperts(configuration.parallelism.shadowExperts, degree: degree)
    let unevenness = MemoryPlan.usualArrivals(experts: placement.experts.experts(of: rank).count) - 1
    imbalance = degree == 1 ? 0 : lends ? 0.4 * unevenness : unevenness
    ownParts = placement.experts.ownParts(of: rank, threads: cluster.threads)

    let isFull = placement.sharding == .full
    let fresh = isFull ? rates.pageFault : 0
    let look = messagesAreFree ? 0 : 100e-6 + rates.oversleep
    var (gathers, reductions, faults) = ([Transfer](), [Transfer](), [Double]())
    for piece in layout.pieces.indices {
      let group =
        placement.isExperts(piece)
        ? Cluster.Group(size: placement.ranks / degree, stride: degree)
        : Cluster.Group(size: placement.ranks, stride: 1)
      let held = Double(placement.computed(piece: piece, by: rank).count)
      let largest = placement.holders(piece: piece, of: rank).map { placement.owned[piece][$0].count }.max() ?? 0
      func transfer(bytes: Double, share: Int, rate: Double) -> Transfer {
        guard group.size > 1 else { return Transfer() }
        let chunks = Double((largest + share - 1) / share)
        let exchange = cluster.exchange(group, bytes: bytes, messages: chunks, secondsPerByte: rate * slow)
        return Transfer(
          seconds: exchange + (messagesAreFree ? 0 : cluster.meeting(group, look: look)), handling: bytes * rate * slow)
      }
      let others = held * Double(group.size - 1) / Double(group.size)
      let sums = ExchangeChunk.share(ranks: group.size)
      let values = ExchangeChunk.parameterShare(ranks: group.size)
      var reduction = transfer(bytes: 8 * Double(largest * (group.size - 1)), share: sums, rate: rates.copyAndAdd)
      if placement.sharding == .none {
        let back = transfer(bytes: 8 * others, share: values, rate: rates.copy)
        reduction.seconds += back.seconds
        reduction.handling += back.handling
      }
      reductions.append(reduction)
      gathers.append(
        placement.sharding == .none ? Transfer() : transfer(bytes: 4 * others, share: values, rate: rates.copy + fresh))
      faults.append(isFull && group.size > 1 ? 8 * others * fresh : 0)
    }
    (self.gathers, self.reductions, self.faults) = (gathers, reductions, faults)

    let expertGroup = Cluster.Group(size: degree, stride: 1)
    let slots = Double(sequences * length * (model.experts?.perToken ?? 0))
    let rowLook = messagesAreFree ? 0 : 50e-6 + rates.oversleep
    func chunk(columns: Int) -> Transfer {
      guard degree > 1 else { return Transfer() }
      let bytes = 4 * slots * Double(columns) * Double(degree - 1) / Double(degree * placement.experts.chunks)
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

    let kept = Double(layout.pieces.indices.reduce(0) { $0 + placement.kept(piece: $1, by: rank).count })
    let owned = Double(placement.owned.reduce(0) { $0 + $1[rank].count })
    let tensors = configuration.optimizer.tensors(of: layout)
    let updated = layout.pieces.indices.map { placement.updated(piece: $0, by: rank) }.filter { !$0.isEmpty }
    var next = 0
    let parts = updated.flatMap { range in
      while next < tensors.count, tensors[next].range.upperBound <= range.lowerBound { next += 1 }
      return tensors[next...].prefix { $0.range.lowerBound < range.upperBound }.map {
        (tensor: $0, elements: $0.range.clamped(to: range).count)
      }
    }
    // A first contribution replaces what is there, except where tokens add to rows, and with full sharding.
    let embedding = layout.head == layout.embedding ? 0 : Double(layout.embedding.count)
    atStart = (placement.sharding == .full ? kept : embedding) * rates.zero
    atEnd = (owned * rates.norm + rates.update(parts)) * slow

    let world = Cluster.Group(size: placement.ranks, stride: 1)
    // Blocks' squared norms, everybody's to everybody, and three short messages.
    let norms = 8 * Double(layout.count / StatePlacement.blockSize)
    let isAlone = placement.ranks == 1
    let hops = 2 * (cluster.neighbours(world) < world.size ? cluster.latency : Cluster.localLatency)
    let trips = 4 * Double(placement.ranks.bitWidth - (placement.ranks - 1).leadingZeroBitCount)
    collectives =
      isAlone ? 0 : cluster.exchange(world, bytes: 2 * norms, messages: 0, secondsPerByte: rates.copy) + trips * hops

    gathered = Array(repeating: 0, count: layout.pieces.count)
    reduced = gathered
  }

  /// The time of a step in the middle of a run.
  mutating func run() -> StepTime {
    time.optimizer += atStart
    now += atStart
    if placement.sharding == .optimizer {
      for piece in layout.pieces.indices { submitGather(piece) }
    }
    for round in 0..<rounds { pass(isLast: round == rounds - 1) }
    for piece in layout.pieces.indices { wait(until: reduced[piece], \.reduction) }
    time.collectives += collectives
    time.optimizer += atEnd
    // Cores that computation waits on are free for communication; the rest is taken from it.
    let waited = time.gather + time.reduction + time.dispatch
    time.sharedCores = cluster.crowding * max(0, pieces.busy + rowQueue.busy - waited)
    return time
  }

  // MARK: A pass

  private mutating func pass(isLast: Bool) {
    window.begin(schedule)
    for event in schedule.events {
      switch event {
      case .unshard(let piece): unshard(piece)
      case .reshard(let piece): window.reshard(piece)
      case .beginGradient(let piece): beginGradient(piece)
      case .reduceGradient(let piece): reduceGradient(piece, isLast: isLast)
      case .compute(let part, .forward): forward(part)
      case .compute(let part, .recompute): compute(work.recomputed(part, recompute), \.recomputation)
      case .compute(let part, .backward): backward(part)
      }
    }
  }

  private mutating func forward(_ part: PassSchedule.Part) {
    switch part {
    case .embedding: compute(work.embedding, \.embedding)
    case .attention(let layer):
      compute(work.layers[layer].scores, \.attention)
      compute(work.layers[layer].attention, \.layers)
    case .feedForward(let layer): compute(work.layers[layer].feedForward, \.layers)
    case .dispatch(let layer):
      if isDistributed { _ = rowQueue.submit(at: now, taking: dispatchPlan, handling: 0) }
      dispatch(work.layers[layer].dispatch, rowTransfers.forward)
    case .experts(let layer): experts(work.layers[layer].experts, rowTransfers.forward, after: 0)
    case .combine(let layer): combine(work.layers[layer].combine)
    case .head: compute(work.head / 3, \.crossEntropy)
    case .accumulation: break
    }
  }

  private mutating func backward(_ part: PassSchedule.Part) {
    switch part {
    case .embedding: compute(work.embeddingGradient, \.embedding)
    case .attention(let layer):
      compute(work.layers[layer].scoresBackward, \.attention)
      compute(work.layers[layer].attentionBackward, \.layers)
    case .feedForward(let layer): compute(work.layers[layer].feedForwardBackward, \.layers)
    case .dispatch(let layer): dispatch(work.layers[layer].dispatchBackward, rowTransfers.backward)
    case .experts(let layer):
      let part = work.layers[layer]
      experts(part.expertsBackward, rowTransfers.backward, after: part.expertAccumulation)
    case .combine(let layer): combine(work.layers[layer].combineBackward)
    case .head:
      compute(work.head, \.crossEntropy)
      compute(work.headAccumulation, \.accumulation)
    case .accumulation(let layer): compute(work.layers[layer].accumulation, \.accumulation)
    }
  }

  // MARK: An expert layer

  /// When rows of other ranks arrive, and when the last own ones are back.
  private struct RowsInFlight {
    var arrivals: [Double] = []
    var returned = 0.0
  }

  private var isDistributed: Bool { placement.experts.degree > 1 }

  private mutating func dispatch(_ seconds: Double, _ transfer: Transfer) {
    compute(seconds, \.layers)
    rows.arrivals = (0..<placement.experts.chunks).map { _ in isDistributed ? submitRows(transfer) : now }
    rows.returned = now
  }

  /// Chunks of rows travel to their experts and back while others, and own rows that stay, are computed with: own ones part
  /// by part until received ones have arrived, and what is left of them last.
  private mutating func experts(_ seconds: Double, _ transfer: Transfer, after: Double) {
    let staying = 1 / Double(placement.experts.degree)
    let received = (1 - staying) / Double(rows.arrivals.count)
    let part = staying / Double(ownParts)
    var rest = ownParts
    for arrival in rows.arrivals {
      while rest > 0, arrival > now {
        compute(seconds * part, \.experts)
        compute(after * part, \.accumulation)
        rest -= 1
      }
      wait(until: arrival, \.dispatch)
      compute(seconds * received, \.experts)
      // The others wait for the busiest rank's return.
      compute((seconds + after) * received * imbalance, \.imbalance)
      if isDistributed { rows.returned = submitRows(transfer) }
      compute(after * received, \.accumulation)
    }
    compute(seconds * part * Double(rest), \.experts)
    compute(after * part * Double(rest), \.accumulation)
    compute((seconds + after) * staying * imbalance, \.imbalance)
  }

  private mutating func combine(_ seconds: Double) {
    wait(until: rows.returned, \.dispatch)
    compute(seconds, \.layers)
  }

  private mutating func compute(_ seconds: Double, _ part: WritableKeyPath<StepTime, Double>) {
    now += seconds
    time[keyPath: part] += seconds
  }

  private mutating func wait(until end: Double, _ part: WritableKeyPath<StepTime, Double>) {
    guard end > now else { return }
    time[keyPath: part] += end - now
    now = end
  }

  private mutating func submitRows(_ rows: Transfer) -> Double {
    rowQueue.submit(at: now, taking: rows.seconds, handling: rows.handling)
  }

  // MARK: Pieces, as ShardedState handles them

  private mutating func submitGather(_ piece: Int) {
    gathered[piece] = pieces.submit(at: now, taking: gathers[piece].seconds, handling: gathers[piece].handling)
  }

  private mutating func unshard(_ piece: Int) {
    if placement.sharding == .full { for piece in window.unshard(piece) { submitGather(piece) } }
    wait(until: gathered[piece], \.gather)
  }

  private mutating func beginGradient(_ piece: Int) {
    guard placement.sharding == .full else { return }
    for piece in window.beginGradient(piece) { wait(until: reduced[piece], \.reduction) }
    compute(faults[piece], \.accumulation)
  }

  private mutating func reduceGradient(_ piece: Int, isLast: Bool) {
    guard placement.sharding == .full || isLast else { return }
    reduced[piece] = pieces.submit(at: now, taking: reductions[piece].seconds, handling: reductions[piece].handling)
    window.reduceGradient(piece)
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
