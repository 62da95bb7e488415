import Foundation

/// The JSON report of a plan, in seconds and bytes.
extension RunPlan {
  private struct Document: Encodable {
    struct Layout: Encodable {
      let expert: Int
      let sharding: String
      let recompute: String
      let recomputeSavesBytes: Int
      let stepSeconds: Double
      let parts: [String: Double]
      let bytesSeconds: Double
      let messagesSeconds: Double
      let rankBytes: Int
      let memory: [String: Int]
      let nodeBytes: Int
      let traffic: [String: Double]
      let limitedBy: String
    }
    struct Plan: Encodable {
      let tokens: Double
      let tokensPerDay: Double
      let seconds: Double
      let coreHours: Double
      let saveSeconds: Double
      let checkpointSeconds: Double?
      let checkpointSteps: Int?
      let jobs: Int
    }
    let parameters: Int
    let ranks: Int
    let ranksPerNode: Int
    let threads: Int
    let rounds: Int
    let measuredExactly: Bool
    let configured: Layout
    let alternatives: [Layout]
    let schedule: Plan
  }

  private func document(_ plan: ParallelismPlan) -> Document.Layout {
    Document.Layout(
      expert: plan.expertDegree, sharding: plan.sharding.rawValue, recompute: plan.recompute.rawValue,
      recomputeSavesBytes: plan.recomputeSaves, stepSeconds: plan.time.total,
      parts: Dictionary(uniqueKeysWithValues: plan.time.parts.map { ($0.name, $0.seconds) }),
      bytesSeconds: plan.bytesCost, messagesSeconds: plan.messagesCost,
      rankBytes: plan.memory.bytes + ParallelismPlan.programBytes,
      memory: Dictionary(uniqueKeysWithValues: plan.memory.components.map { ($0.role, $0.bytes) }),
      nodeBytes: plan.nodeMemory,
      traffic: [
        "gradients": plan.traffic.gradients, "sums": plan.traffic.sums, "parameters": plan.traffic.parameters,
        "rows": plan.traffic.rows,
      ], limitedBy: plan.bottleneck(configuration, cluster))
  }

  /// One plan as an object, several as an array.
  public static func json(_ plans: [RunPlan]) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let documents = plans.map(\.document)
    let data = try documents.count == 1 ? encoder.encode(documents[0]) : encoder.encode(documents)
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  private var document: Document {
    Document(
      parameters: parameters, ranks: cluster.ranks, ranksPerNode: cluster.ranksPerNode, threads: cluster.threads,
      rounds: microSteps, measuredExactly: rates.isExact, configured: document(configured),
      alternatives: alternatives.map(document),
      schedule: Document.Plan(
        tokens: schedule.tokens, tokensPerDay: schedule.tokensPerDay, seconds: schedule.seconds,
        coreHours: schedule.coreHours, saveSeconds: schedule.saveSeconds, checkpointSeconds: schedule.interval,
        checkpointSteps: schedule.stepsBetweenCheckpoints, jobs: schedule.jobs))
  }
}
