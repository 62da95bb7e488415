import Testing

@testable import ConfigurationFiles

@Suite struct BoundsTests {
  static func refusal<Number>(_ bounds: Bounds<Number>, _ number: Number, recorded: Bool = false) -> String? {
    let node = ConfigurationNode(
      .mapping([
        .init(key: "k", location: .init(source: "x", line: 2), node: .init(number.value, at: .init(source: "x")))
      ]),
      at: .init(source: "x"))
    let message = ConfigurationNodeTests.message {
      let section = try ConfigurationSection(node, recorded: recorded ? RecordedConfiguration(node) : nil)
      try bounds.check(number, "k", in: section)
    }
    return message.isEmpty ? nil : message
  }

  @Test(
    arguments: [
      (.positive, 0, "x:2: k must be positive, not 0"), (.positive, 1, nil), (.positive, 1 << 50, nil),
      (.positive, 1 << 50 + 1, "x:2: k must be at most 1125899906842624, but is 1125899906842625"),
      (.positive(limit: 8), 9, "x:2: k must be at most 8, but is 9"),
      (.atLeast(0), -1, "x:2: k must not be negative, but is -1"),
      (.atLeast(16), 15, "x:2: k must be at least 16, but is 15"),
      (.within(-100...22), 23, "x:2: k must be between -100 and 22, but is 23"), (.within(-100...22), -100, nil),
      (.atLeast(0, limit: nil), .max, nil),
    ] as [(Bounds<Int>, Int, String?)])
  func integers(bounds: Bounds<Int>, number: Int, expected: String?) {
    #expect(Self.refusal(bounds, number) == expected)
  }

  @Test(
    arguments: [
      (.positive, 0, "x:2: k must be positive, not 0"), (.positive, 1e-8, nil),
      (.positive, .nan, "x:2: k must be a finite number, not nan"),
      (.positive, .infinity, "x:2: k must be at most 1e+38, but is inf"),
      (.positive(isFinite: true), .infinity, "x:2: k must be a finite number, not inf"),
      (.atLeast(2, except: 0), 0, nil), (.atLeast(2, except: 0), 1, "x:2: k must be 0 or at least 2, but is 1"),
      (.within(0..<1), 1, "x:2: k must be a number in [0, 1), but is 1"), (.within(0..<1), 0, nil),
      (.within(0...1), 1, nil), (.within(0...1), 1.5, "x:2: k must be between 0 and 1, but is 1.5"),
    ] as [(Bounds<Double>, Double, String?)])
  func numbers(bounds: Bounds<Double>, number: Double, expected: String?) {
    #expect(Self.refusal(bounds, number) == expected)
  }

  @Test func onlyTheLimitGivesWayToWhatARunWasStartedWith() {
    #expect(Self.refusal(Bounds<Int>.positive(limit: 8), 9, recorded: true) == nil)
    #expect(Self.refusal(.positive, Double.infinity, recorded: true) == nil)
    #expect(Self.refusal(Bounds<Double>.positive(isFinite: true), Double.infinity, recorded: true) != nil)
    #expect(Self.refusal(Bounds<Int>.positive(limit: 8), 0, recorded: true) != nil)
    #expect(Self.refusal(Bounds<Int>.within(0...8), 9, recorded: true) != nil)
  }

  @Test(arguments: [
    (SettingForm.integer(.positive), "integer ≥ 1"), (.integer(.positive(limit: 8)), "integer ≥ 1, at most 8"),
    (.number(.positive), "number > 0"), (.number(.within(0..<1)), "number in [0, 1)"),
    (.number(.within(0...1)), "number from 0 to 1"), (.number(.atLeast(2, except: 0)), "0 or number ≥ 2"),
    (.list(.number(.within(0..<1)), count: 2), "list of 2 numbers in [0, 1)"),
    (.either(.choice(["auto"]), .integer(.any)), "`auto` or integer"), (.boolean, "`true` or `false`"),
  ])
  func words(form: SettingForm, expected: String) {
    #expect(form.words == expected)
  }
}
