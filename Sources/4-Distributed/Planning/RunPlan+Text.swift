import Foundation
import Models

/// The text report of a plan.
extension RunPlan {
  public var text: String {
    ([heading, ""] + memoryLines + [""] + timeLines + [""] + trafficLines + [""] + alternativeLines + [""]
      + scheduleLines + [""] + assumptionLines).joined(separator: "\n") + "\n"
  }

  private var heading: String {
    let model = configuration.model
    let nodes = cluster.nodes
    let degree = configured.expertDegree > 1 ? ", experts shared by \(configured.expertDegree) ranks" : ""
    return "\(configuration.run.name): \(model.family.name), \(Self.count(Double(parameters))) parameters, on "
      + "\(Self.plural(cluster.ranks, "rank")) × \(Self.plural(cluster.threads, "thread")), "
      + "\(Self.plural(nodes, "node")); sharding \(configured.sharding.rawValue)\(degree)"
  }

  private var memoryLines: [String] {
    let verdict = configured.fits(cluster) ? "fits" : "DOES NOT FIT"
    let saved =
      configured.recompute == .none
      ? []
      : [
        Self.row(
          "saved by recompute: \(configured.recompute.rawValue)", MemoryPlan.mebibytes(configured.recomputeSaves))
      ]
    return ["Memory of the fullest rank"]
      + configured.memory.components.map { Self.row($0.role, MemoryPlan.mebibytes($0.bytes)) } + saved
      + [
        Self.row("program", MemoryPlan.mebibytes(ParallelismPlan.programBytes)),
        Self.row("a rank", MemoryPlan.mebibytes(configured.memory.bytes + ParallelismPlan.programBytes)),
        Self.row(
          "a node", "\(Self.gibibytes(configured.nodeMemory)) of \(Self.gibibytes(cluster.memoryPerNode)): \(verdict)"),
      ]
  }

  private var timeLines: [String] {
    let time = configured.time
    let tokens = Double(configuration.batch.sequences * configuration.data.sequenceLength)
    return [
      "A step of \(Self.count(tokens)) tokens: \(Self.seconds(time.total)), "
        + "\(Self.count(tokens / time.total)) tokens/s; \(Self.plural(microSteps, "micro-batch", "micro-batches")) a rank"
    ]
      + time.parts.filter { $0.seconds > 0 }.map {
        Self.row($0.name, Self.seconds($0.seconds), String(format: "%4.1f %%", 100 * $0.seconds / time.total))
      } + ["  limited by \(configured.bottleneck(configuration, cluster))"]
  }

  private var trafficLines: [String] {
    guard cluster.ranks > 1 else { return ["No traffic: there is one rank"] }
    let traffic = configured.traffic
    return ["A rank receives, and sends as much, in a step"]
      + [
        ("gradient sums, int64", traffic.gradients), ("complete sums, int64", traffic.sums),
        ("parameters, fp32", traffic.parameters), ("rows to experts and back, fp32", traffic.rows),
      ].filter { $0.1 > 0 }.map { Self.row($0.0, Self.bytes($0.1)) }
  }

  private var alternativeLines: [String] {
    guard !alternatives.isEmpty else {
      return [
        "No layout fits \(Self.gibibytes(cluster.memoryPerNode)) a node: take more nodes, or a smaller micro_batch"
      ]
    }
    let heading = "  " + Self.pad("parallelism", 34) + Self.left("step", 12) + Self.left("node memory", 14)
    return ["Layouts that fit, fastest first", heading]
      + alternatives.prefix(6).map { plan in
        let isConfigured =
          plan.expertDegree == configured.expertDegree && plan.sharding == configured.sharding
          && plan.recompute == configured.recompute
        let recompute =
          plan.recompute == .none
          ? ""
          : "  memory: { recompute: \(plan.recompute.rawValue) } saves \(MemoryPlan.mebibytes(plan.recomputeSaves)) a rank"
        return (isConfigured ? "* " : "  ")
          + Self.pad("{ expert: \(plan.expertDegree), sharding: \(plan.sharding.rawValue) }", 34)
          + Self.left(Self.seconds(plan.time.total), 12) + Self.left(Self.gibibytes(plan.nodeMemory), 14) + recompute
      } + (configured.fits(cluster) ? ["  * as configured"] : [])
  }

  private var scheduleLines: [String] {
    let interval =
      schedule.interval.map {
        "every \(Self.duration($0)) (checkpoint.every: \(schedule.stepsBetweenCheckpoints ?? 1)), "
          + "each \(Self.seconds(schedule.saveSeconds))"
      } ?? "one at the end, \(Self.seconds(schedule.saveSeconds))"
    return [
      "\(Self.count(schedule.tokens)) tokens",
      Self.row("tokens a day", Self.count(schedule.tokensPerDay)),
      Self.row("time", Self.duration(schedule.seconds)),
      Self.row("core hours", Self.count(schedule.coreHours)),
      Self.row("checkpoints", interval),
      Self.row("jobs", "\(schedule.jobs)"),
    ]
  }

  private var assumptionLines: [String] {
    var lines = [
      "Measured here: \(Self.plural(rates.ranks, "rank")) × \(Self.plural(rates.threads, "thread")) at a time"
        + (rates.isExact
          ? ", layers at their real size" : ", smaller layers than the real ones: expect 20 % more error")
    ]
    if rates.threads < cluster.threads {
      lines.append(
        "Taken to scale from \(rates.threads) threads a rank to \(cluster.threads): this machine has no more cores")
    }
    if assumesNetwork {
      lines.append(
        "Network taken as \(cluster.bandwidth / 1e9) GB/s a node and \(cluster.latency * 1e6) µs a message; "
          + "say --network and --latency")
    }
    return lines
  }

  /// A scaling table with a line for each number of ranks, of its fastest layout that fits, or the configured one where
  /// none does.
  public static func table(_ plans: [RunPlan]) -> String {
    guard let first = plans.first else { return "" }
    let columns = [
      ("ranks", 7), ("nodes", 7), ("expert", 8), ("sharding", 11), ("node", 12), ("step", 11), ("tokens/s", 10),
      ("a core", 8), ("bytes", 7), ("messages", 10),
    ]
    let heading = columns.map { left($0.0, $0.1) }.joined() + "  limited by"
    func rate(_ plan: RunPlan, _ layout: ParallelismPlan) -> Double {
      Double(plan.configuration.batch.sequences * plan.configuration.data.sequenceLength) / layout.time.total
    }
    func perCore(_ plan: RunPlan, _ layout: ParallelismPlan) -> Double {
      rate(plan, layout) / Double(plan.cluster.ranks * plan.cluster.threads)
    }
    let base = perCore(first, first.alternatives.first ?? first.configured)
    let lines = plans.map { plan in
      let layout = plan.alternatives.first ?? plan.configured
      let values = [
        "\(plan.cluster.ranks)", "\(plan.cluster.nodes)", "\(layout.expertDegree)", layout.sharding.rawValue,
        gibibytes(layout.nodeMemory) + (layout.fits(plan.cluster) ? "" : "!"), seconds(layout.time.total),
        count(rate(plan, layout)), String(format: "%.0f %%", 100 * perCore(plan, layout) / base),
        String(format: "%.0f %%", 100 * layout.bytesCost / layout.time.total),
        String(format: "%.0f %%", 100 * layout.messagesCost / layout.time.total),
      ]
      return zip(values, columns).map { left($0, $1.1) }.joined() + "  "
        + layout.bottleneck(plan.configuration, plan.cluster)
    }
    let title =
      "\(first.configuration.run.name): \(count(Double(first.parameters))) parameters, "
      + "\(count(Double(first.configuration.batch.sequences * first.configuration.data.sequenceLength))) tokens a step, "
      + "\(plural(first.cluster.threads, "thread")) a rank; the fastest layout that fits"
    let legend = [
      "a core: tokens/s of a core against the first line; bytes, messages: a step's share that would go if sending them "
        + "cost nothing; !: more than a node has"
    ]
    return ([title, "", heading] + lines + [""] + legend + (plans.last?.assumptionLines ?? [])).joined(separator: "\n")
      + "\n"
  }

  // MARK: Formatting

  private static func row(_ name: String, _ value: String, _ more: String = "") -> String {
    "  " + pad(name, 34) + left(value, 12) + (more.isEmpty ? "" : left(more, 9))
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private static func left(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
  }

  private static func plural(_ count: Int, _ name: String, _ names: String? = nil) -> String {
    "\(count) \(count == 1 ? name : names ?? name + "s")"
  }

  static func seconds(_ value: Double) -> String {
    value < 1 ? String(format: "%.1f ms", 1000 * value) : String(format: "%.2f s", value)
  }

  static func duration(_ seconds: Double) -> String {
    switch seconds {
    case ..<120: Self.seconds(seconds)
    case ..<7200: String(format: "%.0f min", seconds / 60)
    case ..<172_800: String(format: "%.1f h", seconds / 3600)
    default: String(format: "%.1f days", seconds / 86400)
    }
  }

  static func count(_ value: Double) -> String {
    for (unit, size) in [("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)] where value >= size {
      return String(format: "%.1f %@", value / size, unit)
    }
    return String(format: "%.0f", value)
  }

  static func bytes(_ value: Double) -> String { count(value) + "B" }

  static func gibibytes(_ bytes: Int) -> String { String(format: "%.1f GiB", Double(bytes) / Double(1 << 30)) }
}
