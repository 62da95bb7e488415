import Models

/// Measures the time of each event of a decoder's pass.
final class Stopwatch {
  /// Each event of the current pass, with the seconds since the previous one.
  private(set) var laps: [(event: PassSchedule.Event, seconds: Double)] = []
  private let isSparse: [Bool]
  private var last = ContinuousClock.now

  /// - Parameter isSparse: by layer, whether it has routed experts.
  init(isSparse: [Bool]) { self.isSparse = isSparse }

  /// Begins a pass.
  func start() {
    laps.removeAll(keepingCapacity: true)
    last = .now
  }

  /// Ends an event.
  func lap(_ event: PassSchedule.Event) {
    let now = ContinuousClock.now
    laps.append((event, (now - last) / .seconds(1)))
    last = now
  }

  /// The times of a pass by part, summed over dense and over sparse layers. Parts of one event are not separated:
  /// attention scores are in `attention`, the experts' accumulation is in `expertsBackward`, the head's in `head`.
  struct Times {
    var embedding = 0.0
    var embeddingGradient = 0.0
    var head = 0.0
    var dense = PassWork.Layer()
    var sparse = PassWork.Layer()
  }

  var times: Times {
    var times = Times()
    for case (.compute(let part, let direction), let seconds) in laps {
      let isForward = direction == .forward
      func add(
        _ layer: Int, _ forward: WritableKeyPath<PassWork.Layer, Double>,
        _ backward: WritableKeyPath<PassWork.Layer, Double>
      ) {
        let number = isForward ? forward : backward
        if isSparse[layer] { times.sparse[keyPath: number] += seconds } else { times.dense[keyPath: number] += seconds }
      }
      switch part {
      case .embedding: if isForward { times.embedding += seconds } else { times.embeddingGradient += seconds }
      case .attention(let layer): add(layer, \.attention, \.attentionBackward)
      case .feedForward(let layer): add(layer, \.feedForward, \.feedForwardBackward)
      case .dispatch(let layer): add(layer, \.dispatch, \.dispatchBackward)
      case .experts(let layer): add(layer, \.experts, \.expertsBackward)
      case .combine(let layer): add(layer, \.combine, \.combineBackward)
      case .head: times.head += seconds
      case .accumulation(let layer): add(layer, \.accumulation, \.accumulation)
      }
    }
    return times
  }
}
