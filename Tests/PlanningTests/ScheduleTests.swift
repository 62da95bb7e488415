import Foundation
import Testing

@testable import Planning

@Suite struct ScheduleTests {
  /// The fraction of time lost with checkpoints every `interval` seconds: Daly's model of a run whose failures are
  /// exponentially distributed, evaluated, not solved.
  private func overhead(_ interval: Double, save: Double, mean: Double) -> Double {
    mean * (exp((interval + save) / mean) - 1) / interval
  }

  @Test(arguments: [(20.0, 3600.0), (60, 20_000), (300, 7200)])
  func theIntervalIsTheBest(_ save: Double, _ mean: Double) {
    let interval = Schedule.interval(save: save, meanTimeBetweenFailures: mean)
    let best = stride(from: 10.0, to: mean, by: 1).min {
      overhead($0, save: save, mean: mean) < overhead($1, save: save, mean: mean)
    }
    let error = abs(interval - (best ?? 0))
    #expect(error < 0.02 * interval)
    // Young's formula is its first term.
    let young = (2 * save * mean).squareRoot()
    #expect(abs(interval - young) < 0.25 * interval)
  }

  @Test func savesThatTakeLongerThanNodesLive() {
    #expect(Schedule.interval(save: 500, meanTimeBetweenFailures: 200) == 200)
  }

  @Test func jobsAndHours() {
    // 1000 steps of 10 s on 4 ranks × 1 thread, saved in 1 s; nodes never fail; jobs of one hour less two saves.
    let schedule = Schedule(
      tokens: 1_000_000, tokensPerStep: 1000, stepSeconds: 10, saveSeconds: 1, cluster: cluster(ranks: 4),
      meanTimeBetweenFailures: 1e15, jobSeconds: 3600)
    #expect(schedule.trainingSeconds == 10_000)
    #expect(schedule.interval == 3600)
    let withSaves: Double = 10_000 + 10_000 / 3600
    #expect(abs(schedule.seconds - withSaves) < 1e-3)
    #expect(schedule.jobs == 3)
    let (coreHours, tokensPerDay) = (withSaves / 900, 86400e6 / withSaves)
    #expect(abs(schedule.coreHours - coreHours) < 1e-6)
    #expect(abs(schedule.tokensPerDay - tokensPerDay) < 1)
  }

  @Test func failuresOfMoreNodesCostMore() {
    func seconds(_ ranks: Int) -> Double {
      Schedule(
        tokens: 1e9, tokensPerStep: 1000, stepSeconds: 1, saveSeconds: 60, cluster: cluster(ranks: ranks),
        meanTimeBetweenFailures: 3600 * 1000, jobSeconds: 86400
      ).seconds
    }
    #expect(seconds(64) > 1.02 * seconds(1))
  }
}
