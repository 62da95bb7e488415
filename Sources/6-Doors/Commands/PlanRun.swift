import Foundation
import Planning
import RunConfiguration
import Support

/// A request to predict a run's memory, speed and schedule. It benchmarks this machine for a few seconds.
public struct PlanRun: Command {
  /// A YAML file; nil for the built-in quickstart recipe.
  public var configuration: String?
  /// Overrides of its settings: `key.path=value`.
  public var overrides: [String]
  /// The total number of MPI ranks; several numbers are compared.
  public var ranks: [Int]
  public var request: PlanRequest

  public init(configuration: String?, overrides: [String], ranks: [Int], request: PlanRequest) {
    (self.configuration, self.overrides) = (configuration, overrides)
    (self.ranks, self.request) = (ranks, request)
  }

  public func run(_ sinks: CommandSinks) throws -> RunPlans {
    try check()
    let plans = try RunPlan.plan(
      RunConfiguration.load(path: configuration, overrides: overrides), request, ranks: ranks)
    return try RunPlans(plans)
  }

  /// Validates the numbers of the request.
  ///
  /// - Throws: `ForgeError.badInput` for a number out of range.
  private func check() throws {
    let counts =
      ranks.map { ("ranks", Optional($0)) } + [
        ("ranks-per-node", request.ranksPerNode), ("threads", request.threads), ("cores", request.coresPerNode),
      ]
    for case (let name, let value?) in counts where !(1...65_536).contains(value) {
      throw ForgeError.badInput("--\(name) must be a number from 1 to 65536", code: .invalidArgument)
    }
    let amounts = [
      ("memory", request.memory), ("network", request.bandwidth), ("hours", request.hours),
      ("mtbf", request.failureHours), ("tokens", request.tokens.map { $0 / 1e9 }),
    ]
    for case (let name, let value?) in amounts where !(value > 0) || value > 1e8 {
      throw ForgeError.badInput(
        "--\(name) must be positive, and not more than \(name == "tokens" ? "1e17" : "1e8")", code: .invalidArgument)
    }
    if let latency = request.latency, !(0...1e8).contains(latency) {
      throw ForgeError.badInput("--latency must be a number from 0 to 1e8", code: .invalidArgument)
    }
  }
}

/// The plans of one run, one per number of ranks.
public struct RunPlans: CommandResult {
  public let plans: [RunPlan]
  public let document: String
  public let json: JSONLine

  init(_ plans: [RunPlan]) throws {
    self.plans = plans
    document = try RunPlan.json(plans)
    json = .value(try JSONDecoder().decode(JSONValue.self, from: Data(document.utf8)))
  }

  public var text: String { plans.count == 1 ? plans[0].text : RunPlan.table(plans) }
}
