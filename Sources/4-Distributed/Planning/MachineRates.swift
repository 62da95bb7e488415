import Models
import Optimizers

/// What this machine was measured to take for each kind of work, with as many ranks at work as a node has; seconds.
public struct MachineRates: Sendable {
  /// Per unit of `PassWork`; layers of a kind are alike.
  struct Pass: Sendable {
    var embedding: Double
    var embeddingGradient: Double
    var head: Double
    /// Of one gradient element into an exact sum.
    var accumulation: Double
    var dense: PassWork.Layer
    var sparse: PassWork.Layer
  }

  var pass: Pass
  /// Of one element that AdamW updates, and of one unit of `muonWork`.
  var adamW: Double
  var muon: Double
  /// Of one element: the squared norm of the gradient, and setting its sum to zero.
  var norm: Double
  var zero: Double
  /// Of one byte: moving what another rank of the node sent, alone and with adding it to a sum.
  var copy: Double
  var copyAndAdd: Double
  /// Of one byte of memory that is used for the first time.
  var pageFault: Double
  /// Of one byte of a rank's state, written to a checkpoint and synced.
  var save: Double
  /// By how much a short sleep is longer than asked for.
  var oversleep: Double
  /// Whether layers and micro-batches were measured at their real size.
  public var isExact: Bool
  /// Threads of a rank, and ranks at the same time, that were measured.
  public var threads: Int
  public var ranks: Int
  /// Cores and bytes of memory of the machine.
  public var cores: Int
  public var memory: Int

  /// What a rank with more threads than this machine has cores for would take: work that a team shares is divided.
  func scaled(toThreads count: Int) -> MachineRates {
    guard count > threads else { return self }
    let factor = Double(threads) / Double(count)
    var rates = self
    for number in Self.sharedByThreads { rates[keyPath: number] *= factor }
    rates.pass.dense = PassWork.Layer(pass.dense.array.map { $0 * factor })
    rates.pass.sparse = PassWork.Layer(pass.sparse.array.map { $0 * factor })
    return rates
  }

  /// The numbers that describe what a team of threads does together, layers apart.
  static var sharedByThreads: [WritableKeyPath<Self, Double>] {
    [
      \.pass.embedding, \.pass.embeddingGradient, \.pass.head, \.pass.accumulation, \.adamW, \.muon, \.norm,
    ]
  }

  /// The time of each part of a micro-batch's pass, with sums taken for what is accumulated.
  func seconds(_ work: PassWork, sparseLayers: [Bool]) -> PassWork {
    PassWork(
      embedding: work.embedding * pass.embedding, embeddingGradient: work.embeddingGradient * pass.embeddingGradient,
      head: work.head * pass.head, headAccumulation: work.headAccumulation * pass.accumulation,
      layers: zip(work.layers, sparseLayers).map { work, isSparse in
        work.zip(isSparse ? pass.sparse : pass.dense, *)
      }, queryKeyValueShare: work.queryKeyValueShare)
  }

  /// The time of updating the parts of tensors that a rank updates.
  func update(_ parts: [(tensor: OptimizedTensor, elements: Int)]) -> Double {
    parts.reduce(0) { sum, part in
      switch part.tensor.rule {
      case .muon(let rows, let columns): sum + muon * Self.muonWork(rows: rows, columns: columns)
      default: sum + adamW * Double(part.elements)
      }
    }
  }

  /// Newton–Schulz iterations multiply a matrix with its own smaller side.
  static func muonWork(rows: Int, columns: Int) -> Double { Double(rows * columns * min(rows, columns)) }
}
