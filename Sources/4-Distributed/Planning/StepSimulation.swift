import Models
import RunConfiguration
import Sharding

/// Discrete-event simulation of a rank's step by the pass schedule: computation waits for units, submits gradients and
/// sends rows; communication threads process them in order, as `ShardedParameters` and `DistributedExperts` do.
///
/// All ranks are modelled alike, so a collective takes as long everywhere; differences between ranks are in the costs.
struct StepSimulation {
  /// A communication thread: work starts when all work before it is done.
  private struct Queue {
    var free = 0.0
    /// Processor time spent on bytes.
    var busy = 0.0

    mutating func submit(at now: Double, taking seconds: Double, handling: Double) -> Double {
      free = max(now, free) + seconds
      busy += handling
      return free
    }
  }

  private let costs: StepCosts
  private let shardingPlan: ShardingPlan
  private let schedule: PassSchedule
  private let recompute: Recomputation
  /// The slowdown of computation while communication needs its cores (`Cluster.crowding`).
  private let crowding: Double

  // The state of the simulation.
  private var now = 0.0
  private var time = StepTime()
  private var units = Queue()
  private var rowQueue = Queue()
  private var gathered: [Double]
  private var reduced: [Double]
  private var window = UnitWindow()
  /// The expert layer in progress.
  private var rows = RowsInFlight()

  /// - Parameters:
  ///   - schedule: the schedule of a pass.
  ///   - recompute: the recomputation of the schedule.
  ///   - bytesAreFree, messagesAreFree: whether bytes, or messages, cost nothing to send, to isolate their cost.
  init(
    _ configuration: RunConfiguration, shardingPlan: ShardingPlan, schedule: PassSchedule, recompute: Recomputation,
    rank: Int, cluster: Cluster, rates: MachineRates, bytesAreFree: Bool = false, messagesAreFree: Bool = false
  ) {
    var (cluster, rates) = (cluster, rates)
    if bytesAreFree {
      cluster.bandwidth = .infinity
      (rates.copy, rates.copyAndAdd) = (0, 0)
    }
    if messagesAreFree { (cluster.latency, rates.oversleep) = (0, 0) }
    self.shardingPlan = shardingPlan
    self.schedule = schedule
    self.recompute = recompute
    crowding = cluster.crowding
    costs = StepCosts(
      configuration, shardingPlan: shardingPlan, rank: rank, cluster: cluster, rates: rates,
      messagesAreFree: messagesAreFree)
    gathered = Array(repeating: 0, count: shardingPlan.layout.units.count)
    reduced = gathered
  }

  /// Simulates a step in the middle of a run.
  mutating func run() -> StepTime {
    time.optimizer += costs.atStart
    now += costs.atStart
    if shardingPlan.stage == .optimizer {
      for unit in shardingPlan.layout.units.indices { submitGather(unit) }
    }
    for microStep in 0..<costs.microSteps { pass(isLast: microStep == costs.microSteps - 1) }
    for unit in shardingPlan.layout.units.indices { wait(until: reduced[unit], \.reduction) }
    time.collectives += costs.collectives
    time.optimizer += costs.atEnd
    // While computation waits its cores are free for communication; the rest slows it down.
    let waited = time.gather + time.reduction + time.dispatch
    time.sharedCores = crowding * max(0, units.busy + rowQueue.busy - waited)
    return time
  }

  // MARK: A pass

  private mutating func pass(isLast: Bool) {
    window.begin(schedule)
    for event in schedule.events {
      switch event {
      case .unshard(let unit): unshard(unit)
      case .reshard(let unit): window.reshard(unit)
      case .beginGradient(let unit): beginGradient(unit)
      case .reduceGradient(let unit): reduceGradient(unit, isLast: isLast)
      case .compute(let part, .forward): forward(part)
      case .compute(let part, .recompute): compute(costs.work.recomputed(part, recompute), \.recomputation)
      case .compute(let part, .backward): backward(part)
      }
    }
  }

  private mutating func forward(_ part: PassSchedule.Part) {
    switch part {
    case .embedding: compute(costs.work.embedding, \.embedding)
    case .attention(let layer):
      compute(costs.work.layers[layer].scores, \.attention)
      compute(costs.work.layers[layer].attention, \.layers)
    case .feedForward(let layer): compute(costs.work.layers[layer].feedForward, \.layers)
    case .dispatch(let layer):
      if isDistributed { _ = rowQueue.submit(at: now, taking: costs.dispatchPlan, handling: 0) }
      dispatch(costs.work.layers[layer].dispatch, costs.rowTransfers.forward)
    case .experts(let layer): experts(costs.work.layers[layer].experts, costs.rowTransfers.forward, after: 0)
    case .combine(let layer): combine(costs.work.layers[layer].combine)
    case .head: compute(costs.work.head / 3, \.crossEntropy)
    case .accumulation: break
    }
  }

  private mutating func backward(_ part: PassSchedule.Part) {
    switch part {
    case .embedding: compute(costs.work.embeddingGradient, \.embedding)
    case .attention(let layer):
      compute(costs.work.layers[layer].scoresBackward, \.attention)
      compute(costs.work.layers[layer].attentionBackward, \.layers)
    case .feedForward(let layer): compute(costs.work.layers[layer].feedForwardBackward, \.layers)
    case .dispatch(let layer): dispatch(costs.work.layers[layer].dispatchBackward, costs.rowTransfers.backward)
    case .experts(let layer):
      let part = costs.work.layers[layer]
      experts(part.expertsBackward, costs.rowTransfers.backward, after: part.expertAccumulation)
    case .combine(let layer): combine(costs.work.layers[layer].combineBackward)
    case .head:
      compute(costs.work.head, \.crossEntropy)
      compute(costs.work.headAccumulation, \.accumulation)
    case .accumulation(let layer): compute(costs.work.layers[layer].accumulation, \.accumulation)
    }
  }

  // MARK: An expert layer

  /// The arrival times of received chunks, and the time at which the last own rows have returned.
  private struct RowsInFlight {
    var arrivals: [Double] = []
    var returned = 0.0
  }

  private var isDistributed: Bool { shardingPlan.experts.degree > 1 }

  private mutating func dispatch(_ seconds: Double, _ transfer: StepCosts.Transfer) {
    compute(seconds, \.layers)
    rows.arrivals = (0..<shardingPlan.experts.chunks).map { _ in isDistributed ? submitRows(transfer) : now }
    rows.returned = now
  }

  /// Overlaps the transfers of chunks with computation, as `DistributedExperts`: local rows part by part until a chunk
  /// has arrived, and what is left of them last.
  private mutating func experts(_ seconds: Double, _ transfer: StepCosts.Transfer, after: Double) {
    let local = 1 / Double(shardingPlan.experts.degree)
    let received = (1 - local) / Double(rows.arrivals.count)
    let part = local / Double(costs.ownParts)
    var rest = costs.ownParts
    for arrival in rows.arrivals {
      while rest > 0, arrival > now {
        compute(seconds * part, \.experts)
        compute(after * part, \.accumulation)
        rest -= 1
      }
      wait(until: arrival, \.dispatch)
      compute(seconds * received, \.experts)
      // The others wait for the busiest rank's return.
      compute((seconds + after) * received * costs.imbalance, \.imbalance)
      if isDistributed { rows.returned = submitRows(transfer) }
      compute(after * received, \.accumulation)
    }
    compute(seconds * part * Double(rest), \.experts)
    compute(after * part * Double(rest), \.accumulation)
    compute((seconds + after) * local * costs.imbalance, \.imbalance)
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

  private mutating func submitRows(_ rows: StepCosts.Transfer) -> Double {
    rowQueue.submit(at: now, taking: rows.seconds, handling: rows.handling)
  }

  // MARK: Units, as in ShardedParameters

  private mutating func submitGather(_ unit: Int) {
    gathered[unit] = units.submit(
      at: now, taking: costs.gathers[unit].seconds, handling: costs.gathers[unit].handling)
  }

  private mutating func unshard(_ unit: Int) {
    if shardingPlan.stage == .full { for unit in window.unshard(unit) { submitGather(unit) } }
    wait(until: gathered[unit], \.gather)
  }

  private mutating func beginGradient(_ unit: Int) {
    guard shardingPlan.stage == .full else { return }
    for unit in window.beginGradient(unit) { wait(until: reduced[unit], \.reduction) }
    compute(costs.faults[unit], \.accumulation)
  }

  private mutating func reduceGradient(_ unit: Int, isLast: Bool) {
    guard shardingPlan.stage == .full || isLast else { return }
    reduced[unit] = units.submit(
      at: now, taking: costs.reductions[unit].seconds, handling: costs.reductions[unit].handling)
    window.reduceGradient(unit)
  }
}
